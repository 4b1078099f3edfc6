"""What the tests of the library share."""

from pathlib import Path

import pytest

from tests.harness.scripted_daemon import ScriptedDaemon


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    """A daemon of no features whose part the test plays."""
    return ScriptedDaemon(tmp_path / "virtmux.sock")
