"""What the daemon shows to this host: sockets and their clients, ring files, readiness. Knows nothing of libvirt."""
