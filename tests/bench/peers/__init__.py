"""What virtmux is measured against: the consoles written in C, and the bare loop in Python. And virtmux, likewise."""
