"""A shell on a guest's console in the shape of avocado-vt's sessions: `cmd_status_output`, `cmd`, `close`."""

import re
from contextlib import ExitStack

import virtmux.sync


class ConsoleSession:
    """A shell that shows `prompt`; `timeout` is for its first one, in seconds."""

    def __init__(
        self, domain: str, prompt: bytes = rb"[#$] ", *, socket: str | None = None, timeout: float = 60
    ) -> None:
        self._held = ExitStack()
        mux = self._held.enter_context(virtmux.sync.connect(socket))
        self._console = self._held.enter_context(mux.attach(domain))
        self._prompt = re.compile(prompt)
        self._console.until_attached(timeout)
        self._console.write(b"\r")
        self._console.expect(self._prompt, timeout)

    def cmd_status_output(self, command: str, timeout: float = 60) -> tuple[int, str]:
        """Its exit status and output. Raises virtmux.TimedOut, and virtmux.ConsoleEnded with the reason."""
        self._console.write(f"{command}; echo status=$?\r".encode())
        done = self._console.expect(rb"status=(\d+)\r\n", timeout)
        self._console.expect(self._prompt, timeout)
        _, _, output = done.before.partition(b"\n")  # the shell has echoed the command
        return int(done.match[1]), output.decode(errors="replace").replace("\r\n", "\n")

    def cmd(self, command: str, timeout: float = 60) -> str:
        """Its output; raises RuntimeError where it fails."""
        status, output = self.cmd_status_output(command, timeout)
        if status:
            raise RuntimeError(f"{command!r} ended with {status}: {output}")
        return output

    def close(self) -> None:
        """Let the console go."""
        self._held.close()
