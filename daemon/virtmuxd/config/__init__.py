"""The daemon's configuration: defaults, TOML files, and the command line, which wins. Each is imported from its file:

schema     what can be configured
files      reads files and checks them
options    what the command line says
instance   the system's daemon or a user's own, and the defaults that depend on that
people     users and groups by name
source     all of that together, as often as it is asked for
errors     what is wrong with it
"""
