"""virtmuxd: the daemon that holds the consoles of a host's guests and serves them to local clients."""
