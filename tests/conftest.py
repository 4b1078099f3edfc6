"""What all tests need of their process."""

import os
import signal

# Children inherit what is ignored, as under nohup; the tests send these signals and expect them to act.
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# sudo keeps it: what root makes for the tests is to be read by who runs them, and by the daemons' users.
os.umask(0o022)
