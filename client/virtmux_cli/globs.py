"""Which consoles the globs of a command line mean. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


def fit(patterns: Sequence[str], domain: str, device: str, uuid: str) -> bool:
    """Whether one of them fits DOMAIN, DOMAIN:DEVICE or the UUID; no globs fit all."""
    names = (domain, f"{domain}:{device}", uuid)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
