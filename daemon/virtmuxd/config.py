"""The daemon's configuration: defaults, a TOML file, and the command line, which wins."""

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from virtmuxd.core.events import Policy

_Seconds = Annotated[float, Meta(gt=0)]
_Count = Annotated[int, Meta(gt=0)]


class ConfigError(Exception):
    """The configuration cannot be used; the text says where and why."""


class Config(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What can be configured. Times in seconds, sizes in bytes."""

    uri: tuple[str, ...] = ()
    """libvirt URIs; none: the system's for root, else the user's session."""
    socket: str | None = None
    """The socket; its directory is the runtime directory. The read-only one has `-ro` before `.sock`."""
    attach: Policy = Policy.ON_DEMAND
    """When a console is held."""
    domain: tuple[str, ...] = ("*",)
    """Which domains are meant, by globs on their names."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    linger: Annotated[float, Meta(ge=0)] = 60.0
    """How long a console that nobody watches any more stays open, on demand."""
    ring: Annotated[int, Meta(ge=16384)] = 1048576
    """How much output of a console is kept in the runtime directory."""
    input_window: Annotated[int, Meta(ge=16384, le=65536)] = 65536
    """Input that a client may have on its way to one console."""
    call_deadline: _Seconds = 10.0
    """How long a libvirt call may take before its connection is cut."""
    keepalive_interval: _Count = 3
    keepalive_count: _Count = 3
    """A hypervisor that answers none of so many pings is lost, after interval * (count + 1) seconds."""
    probe_after: _Seconds = 3.0
    """A console that was silent so long after output is probed: is its stream still served?"""
    fence_deadline: _Seconds = 8.0
    """How long libvirt may take to answer a probe before the console is opened anew."""
    fence_patience: _Seconds = 35.0
    """The same where the guest has input to take; libvirtd itself waits for its `keepalive_interval` times (its
    `keepalive_count` + 1)."""
    client_requests: Annotated[int, Meta(ge=5)] = 5
    """What libvirtd.conf says of `max_client_requests`, where it says more."""
    workers: _Count = 8
    """How many libvirt calls may be under way at once for a hypervisor."""

    def settled(self) -> "Config":
        """With the defaults filled in that depend on the user."""
        return msgspec.structs.replace(
            self, uri=self.uri or (default_uri(),), socket=self.socket or str(default_socket())
        )


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or does not say what can be said.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Config)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error


def default_uri() -> str:
    """The libvirt that `virsh` would choose."""
    return "qemu:///system" if os.geteuid() == 0 else "qemu:///session"


def default_socket() -> Path:
    """The system's socket for root, else the user's."""
    if os.geteuid() == 0:
        return Path("/run/virtmux/virtmux.sock")
    return Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"), "virtmux", "virtmux.sock")


def read_only_socket(path: Path) -> Path:
    """The read-only socket that goes with `path`."""
    return path.with_name(f"{path.stem}-ro{path.suffix}")
