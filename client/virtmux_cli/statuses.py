"""Exit statuses of the `virtmux` command that belong to no cause; those that do are in `virtmux.reasons.CAUSES`."""

USAGE = 2
#: A time that the person had set was over.
TIMED_OUT = 7
#: This and n: the n-th further pattern of `expect`. Shells keep what is above 125 for themselves.
FURTHER = 20
#: This and the number of the signal that ended it, as shells have it; and that of ^C.
SIGNALLED = 128
INTERRUPTED = 130
