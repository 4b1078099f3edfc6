"""Clients of one console that read all they are given, in a process of their own; see `tests.bench.sink_process`."""

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.bench.source import Source

#: Seconds until a word is printed again that not all have got.
AGAIN_S = 0.5


class Sink:
    """See the module. A context manager."""

    def __init__(self, protocol: str, address: Sequence[str], clients: int) -> None:
        command = [sys.executable, "-m", "tests.bench.sink_process", protocol, str(clients), *address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        kind, *pids = self._heard().split()
        self._expect("ready", kind)
        #: Of the programs that are clients themselves.
        self.pids = list(map(int, pids))

    def _heard(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the clients ended: {self._process.wait()}")
        return line.strip()

    def _expect(self, word: str, heard: str) -> None:
        if heard != word:
            raise RuntimeError(f"the clients say {heard!r}, not {word!r}")

    def say(self, *words: str) -> None:
        """Have them do something."""
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)

    def warm(self, source: Source) -> None:
        """Be sure that all of them get what the source prints: some multiplexers lose a word now and then."""
        self.say("warm", "warm")
        source.print("warm")
        while not self._has_said(AGAIN_S):
            source.print("warm")
        self._expect("warm", self._heard())

    @property
    def has_taken(self) -> bool:
        """Whether what they were to take is there, or lost."""
        return self._has_said(0)

    def _has_said(self, seconds: float) -> bool:
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def taken(self) -> tuple[list[int], float]:
        """What each got, and in how many seconds."""
        told = json.loads(self._heard())
        return told["received"], told["seconds"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """They leave."""
        with self._process:  # it waits
            assert self._process.stdin is not None
            self._process.stdin.close()
