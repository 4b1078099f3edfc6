"""The fuzz targets. Whatever bytes come, each returns or raises what it documents, in bounded memory and time."""

from tests.fuzz.target import Target
from tests.fuzz.targets import config, escapes, journal, messages, ring, sessions, wire

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (wire, messages, sessions, escapes, config, ring, journal)
    for target in module.TARGETS
}
