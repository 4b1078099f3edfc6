"""What all tests need of their process."""

import os
import signal

from hypothesis import HealthCheck, settings

# Also where the terminal is closed or a CI cancels its job they end in order, as at Ctrl-C. Besides, children inherit
# what is ignored, as under nohup; the tests send these signals and expect them to act.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(_number, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# How long an example takes, or is sought, is the machine's doing.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# sudo keeps it: what root makes for the tests is to be read by who runs them, and by the daemons' users.
os.umask(0o022)
