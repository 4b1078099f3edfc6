"""The process's file descriptors: as many as it may have, some of them kept back from clients.

A console needs four and a client one; what the daemon itself is about to open must not fail because many clients came.
So the last ones are not for clients, and where even these are used up one more is set free to say so with.
"""

import errno
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_log = logging.getLogger(__name__)

#: What is kept back from clients, at most. They are short no more once twice as many are free: else a client that comes
#: and goes would fill the log.
_RESERVE = 64
#: No more are asked for: libvirt and others have tables of that size made. It is systemd's own hard limit.
_MOST = 1 << 19
#: The errors that say that there is none left, for this process or for all.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


def allow_most() -> None:
    """Let this process have as many file descriptors as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Descriptors:
    """See the module. That they are short is logged once, and once that it is over."""

    def __init__(self) -> None:
        self._short = False
        self._spare: int | None = None

    def why_not(self, descriptor: int) -> str | None:
        """Why the client that has got this descriptor cannot be served; None where it can.

        The kernel gives the lowest that is free: all below it are in use.
        """
        self._keep_spare()
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        left = limit - descriptor
        reserve = min(_RESERVE, limit // 4)
        if limit == resource.RLIM_INFINITY or left > (2 * reserve if self._short else reserve):
            self._are_there()
            return None
        self._are_short(f"{limit} is the limit")
        return f"virtmuxd has no file descriptors left for clients, of {limit} (LimitNOFILE of its unit)"

    @contextmanager
    def borrowed(self, listening: socket.socket, error: OSError) -> Iterator[tuple[socket.socket, str] | None]:
        """A client that could not be accepted for want of a descriptor, by this `error`, and why it cannot be served:
        for as long as it takes to tell it. None where there is none, or even that cannot be had."""
        why = error.strerror or str(error)
        self._are_short(why)
        self._give_spare_up()
        try:
            connection, _ = listening.accept()
        except OSError:
            yield None
        else:
            with connection:
                yield connection, f"virtmuxd has no file descriptors left for clients: {why}"
        finally:
            self._keep_spare()

    def _are_short(self, why: str) -> None:
        if not self._short:
            self._short = True
            _log.error("there are no file descriptors left for clients", extra={"error": why})

    def _are_there(self) -> None:
        if self._short:
            self._short = False
            _log.info("there are file descriptors for clients again")

    def _keep_spare(self) -> None:
        if self._spare is None:
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _give_spare_up(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
