"""`virtmux doctor`: why a console is blank or missing, and what to do.

command    asks the daemon, and puts the findings together
finding    what was found: what is wrong, how it is known, what to do
door       no daemon, or one that lets this user not in
host       hypervisors that are away, a journal that fails
guest      the domain: none, excluded, without a console, off, paused
console    its console: held by others, released, silent, shared
accounts   users and groups
holders    who may hold it: the processes of this host
"""
