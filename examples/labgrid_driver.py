"""A console driver in labgrid's shape: what its SerialDriver is for a serial port, for a guest behind virtmux.

In labgrid the class is registered with `@target_factory.reg_driver`, derives from `ConsoleExpectMixin, Driver,
ConsoleProtocol`, and has its domain from a resource; the methods stay as they are.
"""

from contextlib import ExitStack

import pexpect

import virtmux.sync


class VirtmuxDriver:
    """The console of a domain."""

    def __init__(self, domain: str, socket: str | None = None) -> None:
        self.domain = domain
        self.socket = socket
        self._held = ExitStack()

    def on_activate(self) -> None:
        mux = self._held.enter_context(virtmux.sync.connect(self.socket))
        self._console = self._held.enter_context(mux.attach(self.domain))

    def on_deactivate(self) -> None:
        self._held.close()

    def _read(self, size: int = 1, timeout: float = 10.0, max_size: int | None = None) -> bytes:
        try:
            return self._console.read(max_size or max(size, 1), timeout)
        except virtmux.TimedOut as error:
            raise pexpect.TIMEOUT(str(error)) from error
        except virtmux.ConsoleEnded as error:
            raise pexpect.EOF(error.reason.text) from error

    def _write(self, data: bytes) -> int:
        self._console.write(data)
        return len(data)
