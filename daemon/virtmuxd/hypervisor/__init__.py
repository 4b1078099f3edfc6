"""The libvirt edge: the only importers of libvirt. Event bridge, connections, console streams, inventory, errors."""
