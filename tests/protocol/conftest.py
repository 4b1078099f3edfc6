"""What the tests of the library share."""

from pathlib import Path

import pytest

from tests.harness.scripted_daemon import ScriptedDaemon
from virtmux.ssh import SshProcess


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    """A daemon of no features whose part the test plays."""
    return ScriptedDaemon(tmp_path / "virtmux.sock")


@pytest.fixture
def graces(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds each ssh was given to end by itself."""
    given: list[float] = []
    end = SshProcess.end

    def note(process: SshProcess, grace_s: float) -> None:
        given.append(grace_s)
        end(process, grace_s)

    monkeypatch.setattr(SshProcess, "end", note)
    return given
