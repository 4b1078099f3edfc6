"""How the core asks to be called later: it owns no clock."""

from collections.abc import Callable

Later = Callable[[float, Callable[[int], None]], object]
"""Calls, after so many seconds, with the time (ns)."""
