"""Whose daemon it is, the system's or a user's own, and what that means where the configuration is silent."""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from msgspec.structs import replace

from virtmux.journal.names import SYSTEM_DIRECTORY, user_directory
from virtmux.sockets import SYSTEM_SOCKET, user_socket
from virtmuxd.config.schema import Config

SYSTEM_FILE = Path("/etc/virtmux/virtmuxd.toml")


class Instance(StrEnum):
    """Which of libvirt's instances it serves, by default: the names are libvirt's own."""

    SYSTEM = "system"
    SESSION = "session"

    @property
    def uri(self) -> str:
        """The libvirt that `virsh` would choose."""
        return f"qemu:///{self}"

    def file(self, environ: Mapping[str, str]) -> Path:
        """The configuration file, which need not exist."""
        if self is Instance.SYSTEM:
            return SYSTEM_FILE
        return config_home(environ) / "virtmux" / "virtmuxd.toml"

    def settle(self, config: Config, environ: Mapping[str, str]) -> Config:
        """With the defaults filled in that depend on whose daemon it is; `uri` then names each hypervisor, once."""
        is_system = self is Instance.SYSTEM
        uris = dict.fromkeys((*config.uri, *(each.uri for each in config.hypervisor))) or (self.uri,)
        socket = config.socket or str(SYSTEM_SOCKET if is_system else user_socket(environ))
        directory = config.journal_directory or str(SYSTEM_DIRECTORY if is_system else user_directory(environ))
        return replace(config, uri=tuple(uris), socket=socket, journal_directory=directory)


def config_home(environ: Mapping[str, str]) -> Path:
    """The XDG directory of a user's configuration."""
    base = environ.get("XDG_CONFIG_HOME", "")
    return Path(base) if base.startswith("/") else Path(environ.get("HOME") or "/") / ".config"


def default_instance() -> Instance:
    """The system's for root, else the user's session."""
    return Instance.SYSTEM if os.geteuid() == 0 else Instance.SESSION


def read_only_socket(path: Path) -> Path:
    """The read-only socket that goes with `path`."""
    return path.with_name(f"{path.stem}-ro{path.suffix}")
