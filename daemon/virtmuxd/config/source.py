"""Where the configuration comes from: files and a command line, read at the start and again at each reload."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.files import drop_ins, load
from virtmuxd.config.instance import Instance
from virtmuxd.config.options import overridden
from virtmuxd.config.people import SocketGroups, access_rules, log_group, missing, socket_groups
from virtmuxd.config.schema import Config, passwords
from virtmuxd.core.access import AccessRules


class Loaded(NamedTuple):
    """A configuration with nothing left open: settled, and with the people it names found."""

    config: Config
    access: AccessRules
    #: The id of the group that may read the journal.
    log_group: int | None = None
    #: A user's own daemon has none.
    socket_groups: SocketGroups = SocketGroups()


class Source:
    """See the module."""

    def __init__(self, instance: Instance, file: Path | None, options: dict[str, Any]) -> None:
        """`file` must exist; None is the instance's own, which need not."""
        self._instance = instance
        self._file = file
        self._options = options

    @property
    def files(self) -> list[Path]:
        """The files that are read, the one that wins last.

        Raises:
            ConfigError: it cannot be seen which there are.
        """
        file = self._file or self._instance.file(os.environ)
        try:
            main = [file] if self._file is not None or file.exists() else []
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error
        return [*main, *drop_ins(file)]

    def read(self) -> Loaded:
        """Read it. Blocking: a file system or a directory of users may hang.

        Raises:
            ConfigError: it cannot be used.
        """
        config = self._instance.settle(overridden(load(self.files, _amiss), self._options), os.environ)
        groups = socket_groups() if self._instance is Instance.SYSTEM else SocketGroups()
        return Loaded(config, access_rules(config, groups), log_group(config), groups)


def _amiss(config: Config) -> Iterator[str]:
    """What is wrong with a file whose keys are in order."""
    yield from missing(config)
    yield from passwords(config)


def printed(config: Config) -> str:
    """The configuration as TOML.

    Raises:
        ConfigError: what writes TOML is not installed.
    """
    try:
        return msgspec.toml.encode(_without_none(config)).decode()
    except ImportError:
        raise ConfigError("--print-config needs tomli-w: pip install 'virtmux[daemon]'") from None


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not set is left out."""
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return {name: _without_none(each) for name, each in fields.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, tuple) else value
