"""The configuration's files: read with all that is looked up for them, and asked what they say."""

from collections.abc import Iterator

from tests.fuzz.files import directory
from tests.fuzz.target import Target
from virtmuxd.config.errors import ConfigError
from virtmuxd.config.instance import Instance
from virtmuxd.config.source import Loaded, Source, printed
from virtmuxd.core.access import Identity


def run(data: bytes) -> None:
    """A configuration, or its faults, a line for each; and what is printed of it is read as the same."""
    try:
        loaded = _read(data)
    except ConfigError as error:
        assert all(line.isprintable() for line in str(error).split("\n"))
        return
    assert _read(printed(loaded.config).encode()).config == loaded.config
    config, console = loaded.config, ("web1", "serial0")
    for ask in (config.policy_of, config.linger_of, config.ring_of, config.journal_of):
        ask(*console)
    loaded.access.of(Identity(1000, frozenset({1000}))).at(*console)


def _read(data: bytes) -> Loaded:
    with directory() as here:
        (here / "virtmuxd.toml").write_bytes(data)
        return Source(Instance.SESSION, here / "virtmuxd.toml", {}).read()


_SEEDS = (
    """
uri = ["qemu:///system"]
[[console]]
match = "web*:serial?"
ring = 16384
[[access]]
user = ["root", "4711"]
console = ["[a-"]
allow = ["watch"]
""",
    """
linger = 1.5
attach = "always"
journal = "disk"
log_group = "root"
domain = ["*"]
[limits]
clients = 3
[metrics]
per_console = false
[[hypervisor]]
uri = "lxc:///"
pool = 2
""",
    'lingre = 1\n"\\u001b[31m" = 1\nring = "much"\n[[access]]\nuser = ["\\u0000"]\n',
    "[" * 2000,
    "a = " + "[" * 5000,
)


def seeds() -> Iterator[bytes]:
    """Every kind of value; and what is no configuration."""
    yield from (each.encode() for each in _SEEDS)


TARGETS = (Target("config", run, seeds),)
