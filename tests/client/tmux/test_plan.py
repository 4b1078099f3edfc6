"""Which windows are opened, begun again and renamed: events in, actions out."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from tests.harness.scripted_daemon import AT, CONSOLE, console_info, reason
from virtmux.messages import ConsoleInfo, Event, State
from virtmux.reasons import Cause, ConsoleId
from virtmux_cli.tmux.naming import Key
from virtmux_cli.tmux.plan import Action, Open, Pane, Plan, Rename, Restart, Retag

WEB1 = Key.of(None, CONSOLE)
SECOND_BOOT = replace(CONSOLE, incarnation=2)
ANOTHER_WEB1 = replace(CONSOLE, uuid="5d3f9a5e-0000-4000-8000-000000000002")
OPEN_WEB1 = Open(WEB1, "web1", "web1:serial0")


class Windows:
    """A plan, and the windows of a session in which its actions are carried out, one pane in each."""

    def __init__(self, *infos: ConsoleInfo, patterns: Sequence[str] = ()) -> None:
        self.plan = Plan()
        self.patterns = list(patterns)
        self.panes: dict[str, Pane] = {}
        self.opened = 0
        self.listed(*infos)

    def listed(self, *infos: ConsoleInfo) -> None:
        self.plan.listed(None, infos)

    def happens(self, kind: str, console: ConsoleId = CONSOLE, cause: Cause | None = None, **facts: Any) -> bool:
        why = None if cause is None else reason(cause, **facts)
        return self.plan.happened(None, Event(event=kind, at=AT, console=console, offset=0, reason=why))

    def step(self) -> list[Action]:
        actions = self.plan.actions(list(self.panes.values()), self.patterns)
        for action in actions:
            match action:
                case Open(key):
                    self.opened += 1
                    self.panes[f"%{self.opened}"] = Pane(f"%{self.opened}", f"@{self.opened}", key, True, False)
                case Restart(pane, key):
                    self.panes[pane] = self.panes[pane]._replace(key=key, dead=False)
                case Retag(pane, key):
                    self.panes[pane] = self.panes[pane]._replace(key=key)
                case Rename():
                    pass
        return actions

    def settle(self) -> None:
        """Until the windows have been called what they are opened as."""
        self.step()
        self.step()
        assert self.step() == []

    def close(self, pane: str = "%1") -> None:
        del self.panes[pane]

    def die(self, pane: str = "%1") -> None:
        self.panes[pane] = self.panes[pane]._replace(dead=True)


def off(console: ConsoleId = CONSOLE, last: Cause | None = None) -> ConsoleInfo:
    end = None if last is None else reason(last)
    return console_info(id=console, state=State.ABSENT, running=False, attachment=None, last_end=end)


def settled(*infos: ConsoleInfo, patterns: Sequence[str] = ()) -> Windows:
    windows = Windows(*infos, patterns=patterns)
    windows.settle()
    return windows


class TestAWindowIsOpened:
    def test_for_each_console_in_the_order_of_names(self) -> None:
        windows = Windows(console_info(), off(replace(CONSOLE, uuid="0" * 8, domain="db1")))
        assert windows.step() == [
            Open(WEB1._replace(uuid="0" * 8), "db1 (guest-not-running)", "db1:serial0"),
            OPEN_WEB1,
        ]

    def test_for_those_alone_that_a_glob_fits(self) -> None:
        windows = Windows(console_info(), patterns=["db*"])
        assert windows.step() == []
        windows.happens("note", replace(CONSOLE, domain="db1"))
        assert windows.step() == [Open(WEB1, "db1", "db1:serial0")]

    def test_for_a_console_that_appears(self) -> None:
        windows = settled()
        assert windows.happens("appeared")
        assert windows.step() == [OPEN_WEB1]

    def test_once_also_where_the_same_is_told_again(self) -> None:
        windows = settled(console_info())
        assert not windows.happens("appeared")
        windows.listed(console_info())
        assert windows.step() == []


class TestAWindowThatAPersonClosed:
    def test_stays_closed_through_ends_reconnections_and_other_names(self) -> None:
        windows = settled(console_info())
        windows.close()
        windows.happens("ended", cause=Cause.CONSOLE_TAKEN_OVER)
        windows.happens("attached")
        windows.happens("note", replace(CONSOLE, domain="web2"))
        windows.listed(console_info())
        assert windows.step() == []

    def test_comes_back_when_the_guest_starts_anew(self) -> None:
        windows = settled(console_info())
        windows.close()
        assert windows.happens("attached", SECOND_BOOT)
        assert windows.step() == [OPEN_WEB1]

    def test_comes_back_for_a_start_while_the_daemon_was_away(self) -> None:
        windows = settled(console_info())
        windows.close()
        windows.listed(console_info(id=SECOND_BOOT))
        assert windows.step() == [OPEN_WEB1]

    def test_comes_back_when_the_guest_is_defined_anew(self) -> None:
        windows = settled(console_info())
        windows.close()
        windows.happens("vanished")
        assert windows.step() == []
        windows.happens("appeared")
        assert windows.step() == [OPEN_WEB1]

    def test_stays_closed_where_the_start_came_before(self) -> None:
        windows = settled(console_info())
        windows.happens("attached", SECOND_BOOT)
        assert windows.step() == []
        windows.close()
        windows.happens("ended", SECOND_BOOT, Cause.GUEST_SHUTDOWN)
        assert windows.step() == []


class TestTheNameOfAWindow:
    def test_says_why_the_guest_ended_until_it_is_back(self) -> None:
        windows = settled(console_info())
        windows.happens("ended", cause=Cause.GUEST_DESTROYED)
        assert windows.step() == [Rename("@1", "web1 (guest-destroyed)", "web1:serial0")]
        assert not windows.happens("waiting", cause=Cause.GUEST_NOT_RUNNING)
        assert windows.step() == []
        windows.happens("attached", SECOND_BOOT)
        assert windows.step() == [Rename("@1", "web1", "web1:serial0")]

    def test_says_what_is_waited_for(self) -> None:
        windows = settled(console_info())
        windows.happens("ended", cause=Cause.HYPERVISOR_LOST)
        windows.happens("waiting", cause=Cause.GUEST_NOT_RUNNING)
        assert windows.step() == [Rename("@1", "web1 (guest-not-running)", "web1:serial0")]
        windows.happens("waiting", cause=Cause.CONSOLE_BUSY)
        assert windows.step() == [Rename("@1", "web1 (console-busy)", "web1:serial0")]

    def test_of_a_guest_that_is_off_says_how_it_ended(self) -> None:
        windows = Windows(off(last=Cause.GUEST_CRASHED))
        assert windows.step() == [Open(WEB1, "web1 (guest-crashed)", "web1:serial0")]

    def test_follows_the_name_of_the_guest(self) -> None:
        windows = settled(off())
        windows.happens("note", replace(CONSOLE, domain="web.2"))
        assert windows.step() == [Rename("@1", "web_2 (guest-not-running)", "web.2:serial0")]

    def test_is_the_persons_where_several_consoles_share_the_window(self) -> None:
        windows = settled(console_info())
        windows.panes["%1"] = windows.panes["%1"]._replace(alone=False)
        windows.happens("ended", cause=Cause.GUEST_DESTROYED)
        assert windows.step() == []


class TestAnAttachThatHasLeft:
    def test_is_begun_again_at_the_next_start(self) -> None:
        windows = settled(console_info())
        windows.die()
        assert windows.step() == []
        windows.happens("attached", SECOND_BOOT)
        assert windows.step() == [Restart("%1", WEB1)]

    def test_is_begun_again_once_when_the_daemon_is_back(self) -> None:
        windows = settled(console_info())
        windows.die()
        windows.listed(console_info())
        assert windows.step() == [Restart("%1", WEB1)]
        windows.die()
        assert windows.step() == []

    def test_is_not_begun_again_where_nothing_was_wrong_when_the_daemon_came_back(self) -> None:
        windows = settled(console_info())
        windows.listed(console_info())
        windows.step()
        windows.die()
        assert windows.step() == []

    def test_of_a_guest_that_is_gone_stays_with_its_reason(self) -> None:
        windows = settled(console_info())
        windows.happens("ended", cause=Cause.GUEST_UNDEFINED)
        windows.happens("vanished")
        windows.die()
        assert windows.step() == [Rename("@1", "web1 (guest-undefined)", "web1:serial0")]
        windows.listed()
        assert windows.step() == []

    def test_of_a_guest_that_is_gone_is_taken_by_the_next_guest_of_that_name(self) -> None:
        windows = settled(console_info())
        windows.happens("vanished")
        windows.die()
        windows.step()
        windows.happens("appeared", ANOTHER_WEB1)
        assert windows.step() == [
            Restart("%1", Key.of(None, ANOTHER_WEB1)),
            Rename("@1", "web1", "web1:serial0"),
        ]
        windows.happens("appeared")
        assert windows.step() == [OPEN_WEB1]

    def test_of_a_guest_that_went_while_the_daemon_was_away_says_so(self) -> None:
        windows = settled(console_info())
        windows.listed()
        assert windows.step() == [Rename("@1", "web1 (guest-undefined)", "web1:serial0")]


class TestAMigration:
    THERE = replace(CONSOLE, uri="qemu+ssh://there/system", hypervisor="0b/QEMU/system")

    def test_that_is_followed_takes_the_window_along(self) -> None:
        windows = settled(console_info())
        windows.happens("ended", cause=Cause.GUEST_MIGRATED, moved_to=self.THERE.uri)
        key = Key.of(None, self.THERE)
        assert windows.step() == [Retag("%1", key), Rename("@1", "web1 (guest-migrated)", "web1:serial0")]
        windows.happens("attached", self.THERE)
        assert windows.step() == [Rename("@1", "web1", "web1:serial0")]
        windows.happens("vanished")
        assert windows.step() == []

    def test_that_is_not_followed_is_an_end(self) -> None:
        windows = settled(console_info())
        windows.happens("ended", cause=Cause.GUEST_MIGRATED)
        assert windows.step() == [Rename("@1", "web1 (guest-migrated)", "web1:serial0")]


def test_consoles_of_two_hosts_are_two() -> None:
    plan = Plan()
    plan.listed(None, [console_info()])
    plan.listed("kvm1", [console_info()])
    assert plan.actions([], []) == [OPEN_WEB1, Open(WEB1._replace(host="kvm1"), "web1@kvm1", "web1:serial0 at kvm1")]
    plan.listed("kvm1", [])
    assert not plan.happened(None, Event(event="appeared", at=AT, console=CONSOLE, offset=0))
