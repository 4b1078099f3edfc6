"""The `virtmux` command. Data goes to stdout, talk to stderr.

A command is in the module of its name, or in `command` of a package of that name; `console` is in virsh, and `send`,
`expect` and `wait` are in automation (`main.COMMANDS`). What several share:

main         finds the command, and ends with its status; statuses are those that belong to no cause
options      what they take; addresses of the daemons; durations, when and globs how it is read; linux_keys for `key`
asked        what daemons answer at once, without a loop: for `list` and `status`, whose words are in listing
text         words for a person, and JSON Lines, whose types are in json_types; tables, who_text and past_events too
output       what is printed at once; streams are stdin and stdout of a command that goes on
signals      have the terminal given back first; terminal makes it raw
shells       completion in them; name_completion asks for the names of consoles
"""
