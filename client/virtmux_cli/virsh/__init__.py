"""`virtmux console`: what `virsh console` does.

command    the command line, and the way through it
options    where virsh has its options
text       virsh's lines and exit statuses
talk       what is said while it is attached
"""
