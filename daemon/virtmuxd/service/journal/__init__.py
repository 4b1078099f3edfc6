"""The journal's writer: what the consoles' files are, and how they are kept. Blocking; one thread runs all of it."""
