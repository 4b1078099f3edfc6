"""How much of a console's output makes its screen. Pure."""

WINDOW = 262144
"""Bytes. The emulator takes 1 to 2 MB of a boot log or a full-screen program a second of CPU, so about 0.2 s; and the
worst stream that was found 0.1 MB, so about 2 s."""
REPLAY = "screen"
"""What `attach --replay` calls it."""
