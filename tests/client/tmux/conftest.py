"""What the tests of windows share."""

import shutil
from collections.abc import Iterator

import pytest

from tests.harness.tmux import Tmux


@pytest.fixture
def tmux() -> Iterator[Tmux]:
    """A tmux server of the test's own."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    with Tmux() as own:
        yield own
