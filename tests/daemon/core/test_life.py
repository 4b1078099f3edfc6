"""What the deeds of a console's life have in common."""

import pytest

from virtmuxd.core.life import is_soon


@pytest.mark.parametrize(("at", "soon"), [(100, True), (109, True), (110, False), (99, False)])
def test_soon_is_before_a_span_is_over_and_not_before_it_begins(at: int, soon: bool) -> None:
    assert is_soon(at, 100, 10) is soon
