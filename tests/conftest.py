"""What all tests need of their process."""

import signal

from hypothesis import settings

# Children inherit what is ignored, as under nohup; the tests send these signals and expect them to act.
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("virtmux", deadline=None)
settings.load_profile("virtmux")
