"""The daemon of another host, by way of the user's own ssh: `ssh HOST virtmux dial-stdio`, its streams one socket.

ssh finds its configuration, keys and agent as ever, and asks for a password on the terminal itself.
"""

import os
import signal
import socket
from subprocess import PIPE, Popen, TimeoutExpired
from threading import Thread

from virtmux.addresses import SshHost
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Reason
from virtmux.sanitize import printable

#: Bytes of what ssh says that are kept, and characters of it that are told.
_KEPT = 4096
_TOLD = 300
_LISTENING_S = 0.5
_TERMINATING_S = 1.0
#: What ssh ends with where it is ssh that failed, and a shell where there is no such command.
_SSH_FAILED = 255
_NOT_FOUND = 127


class SshProcess:
    """A running ssh. It ends by itself once its streams are closed; `end` sees to it, and must be called."""

    def __init__(self, host: SshHost, streams: socket.socket, *, again: bool) -> None:
        """`streams` becomes its stdin and stdout.

        Raises:
            OSError: there is no such program.
            ValueError: VIRTMUX_SSH is no command line.
        """
        self._host = host
        self._said = b""
        command = host.command(os.environ, again=again)
        # It shares the terminal, for its questions, and so ^C; but what that ends is ours to say, and ssh has to carry
        # our last words.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            fd = streams.fileno()
            self._process: Popen[bytes] = Popen(command, stdin=fd, stdout=fd, stderr=PIPE)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._listener = Thread(target=self._listen, name="virtmux-ssh-stderr", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def end(self, grace_s: float) -> None:
        """Wait `grace_s` seconds for its end, then terminate it; it is gone and reaped afterwards. Blocks."""
        for seconds, then in ((grace_s, self._process.terminate), (_TERMINATING_S, self._process.kill)):
            try:
                self._process.wait(seconds)
            except TimeoutExpired:
                then()
        self._process.wait()
        self._listener.join(_LISTENING_S)  # a ControlMaster may hold its stderr open

    def why(self) -> Reason:
        """Why there is no connection, after `end`: in ssh's own words."""
        status, said = self._process.returncode, self._last_line()
        if status == _NOT_FOUND:
            text = f"no virtmux at {self._host}: {said}; install it there, where ssh finds it"
        elif status == _SSH_FAILED:
            text = f"no connection to {self._host}: {said or 'ssh failed'}; try `ssh {self._host}`"
        elif said:
            text = f"{self._host}: {said}"
        else:
            return reason_now(Cause.SERVER_LOST, str(self._host))
        denied = status == _SSH_FAILED and "permission denied" in said.lower()
        return reason_now(Cause.ACCESS_DENIED if denied else Cause.SERVER_LOST, text=text)

    def _last_line(self) -> str:
        lines = [line.strip() for line in self._said.decode(errors="replace").splitlines()]
        return printable(next(filter(None, reversed(lines)), ""))[:_TOLD].removeprefix("virtmux: ")

    def _listen(self) -> None:
        """Keep the last that it says, so that it never waits for us."""
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            while data := os.read(stream.fileno(), _KEPT):
                self._said = (self._said + data)[-_KEPT:]
