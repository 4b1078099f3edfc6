"""What CONSOLE means."""

import pytest

from tests.harness.scripted_daemon import reason
from virtmux.errors import Refused
from virtmux.reasons import Cause
from virtmux_cli.options import by_name


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
