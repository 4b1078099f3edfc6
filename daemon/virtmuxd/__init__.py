"""virtmuxd: the daemon that holds the consoles of a host's guests and serves them to local clients.

app          what it consists of, and the order in which it starts and stops; __main__ is the command
attendance   the hypervisors that it attends to, which come and go with the configuration
shelf        the consoles, with what is kept of them
reload       another configuration, while it runs; config is what can be configured, and where it stands
units        systemd's units, for a daemon that no package brought

core         what it decides, and does not do
hypervisor   what does it at libvirt
service      what does it on this host: sockets and clients, rings, the journal, metrics
logs         what it says of itself
"""
