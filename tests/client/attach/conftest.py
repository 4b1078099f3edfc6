"""What the tests of `virtmux attach` share."""

from collections.abc import Iterator

import pytest

from tests.harness.screen import Screen


@pytest.fixture
def screen() -> Iterator[Screen]:
    """A terminal of the test's own."""
    screen = Screen()
    yield screen
    screen.close()
