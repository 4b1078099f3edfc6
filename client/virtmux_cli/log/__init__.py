"""`virtmux log`: what a console said, as it is stored.

records     the values that a source gives
source      the interface of a source: the daemon, or the journal's files
opening     which of the two it is: from_daemon, from_files
choice      which records were asked for; incarnations and boots are the guest's starts among them
selection   reads those; tail has the last lines of them
text, raw, jsonlines, asciicast     how they are shown
command     the command line
"""
