"""Durations, and what CONSOLE means."""

import math

import pytest

from tests.harness.scripted_daemon import reason
from virtmux.errors import Refused
from virtmux.reasons import Cause
from virtmux_cli.options import by_name, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("5m", 300), ("2h", 7200), ("1h30m", 5400), ("1d1s", 86401), ("forever", math.inf)],
)
def test_a_duration_is_a_number_or_parts_with_their_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 m", "1h30", "-1", "1e3", "m", "\u0665"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


class Daemon:
    """Refuses every name but one."""

    def __init__(self, known: tuple[str, str | None], cause: Cause = Cause.CONSOLE_MISSING) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._known = known
        self._cause = cause

    async def ask(self, domain: str, device: str | None) -> str:
        self.asked.append((domain, device))
        if self.asked[-1] != self._known:
            raise Refused(reason(self._cause))
        return "there"


async def test_a_whole_name_is_tried_before_a_device() -> None:
    daemon = Daemon(("a:b", "serial0"))
    assert await by_name("a:b:serial0", daemon.ask) == "there"
    assert daemon.asked == [("a:b:serial0", None), ("a:b", "serial0")]


@pytest.mark.parametrize(("name", "cause"), [("web1", Cause.CONSOLE_MISSING), ("a:b", Cause.ACCESS_DENIED)])
async def test_what_is_refused_for_another_reason_or_has_no_device_is_not_tried_again(name: str, cause: Cause) -> None:
    daemon = Daemon(("else", None), cause)
    with pytest.raises(Refused):
        await by_name(name, daemon.ask)
    assert daemon.asked == [(name, None)]
