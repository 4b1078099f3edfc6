"""`virtmux log`: what a console said, as it is stored.

records     the values that a source gives
source      the interface of a source: the daemon, or the journal's files
choice      which records were asked for
tail        the last lines of them
text, raw, jsonlines, asciicast     how they are shown
command     the command line
"""
