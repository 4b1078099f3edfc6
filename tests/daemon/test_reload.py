"""Another configuration while the daemon runs: all of it that can be, or nothing."""

import asyncio
import logging
import threading

import pytest

from virtmuxd import reload
from virtmuxd.config.errors import ConfigError
from virtmuxd.config.schema import Config, ConsoleRule, HypervisorRule, Kept
from virtmuxd.config.source import Loaded
from virtmuxd.core.access import AccessRules
from virtmuxd.core.events import Policy
from virtmuxd.core.limits import LimitRules
from virtmuxd.reload import Reload, waiting_keys

DEADLINE = 10.0
LOADED = Loaded(Config(uri=("a:///",), linger=5), AccessRules((), ()))


class World:
    """A daemon that is told to reload; `outcome` is what it finds."""

    def __init__(self) -> None:
        self.outcome: Loaded | ConfigError = LOADED
        self.applied: list[Loaded] = []
        self.read_in: list[threading.Thread] = []
        self.reload = Reload(Config(uri=("a:///",)), self.read, self.apply)

    def read(self) -> Loaded:
        self.read_in.append(threading.current_thread())
        if isinstance(self.outcome, ConfigError):
            raise self.outcome
        return self.outcome

    async def apply(self, loaded: Loaded) -> None:
        self.applied.append(loaded)

    async def ask(self, caplog: pytest.LogCaptureFixture, said: str) -> list[logging.LogRecord]:
        """Ask for a reload, and wait until its end is logged."""
        before = len(caplog.records)
        self.reload.asked.set()
        while not any(record.message == said for record in caplog.records[before:]):
            await asyncio.sleep(0)  # it is logged in one step
        return [record for record in caplog.records[before:] if record.message == said]


@pytest.fixture
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.mark.usefixtures("_logged")
async def test_a_good_configuration_is_put_into_effect_and_what_waits_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.outcome = Loaded(Config(uri=("a:///",), linger=5, ring=20000, workers=2), AccessRules((), ()))
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.reload.run())
        (record,) = await world.ask(caplog, "the configuration was loaded again")
        running.cancel()

    assert world.applied == [world.outcome]
    assert vars(record)["waiting_for_a_restart"] == "ring, workers"
    assert threading.current_thread() not in world.read_in


@pytest.mark.usefixtures("_logged")
async def test_a_bad_one_changes_nothing_says_why_and_the_next_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.outcome = ConfigError("f: ring: expected a whole number >= 16384, got 1\nf: lingr: there is no such key")
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.reload.run())
        records = await world.ask(caplog, "the configuration cannot be used, nothing has changed")
        assert [vars(record)["error"] for record in records] == [
            "f: ring: expected a whole number >= 16384, got 1",
            "f: lingr: there is no such key",
        ]
        assert world.applied == []
        world.outcome = LOADED
        await world.ask(caplog, "the configuration was loaded again")
        running.cancel()

    assert world.applied == [LOADED]


@pytest.mark.usefixtures("_logged")
async def test_a_bug_in_a_reload_does_not_end_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Loaded) -> None:
        raise ValueError

    reload_ = Reload(Config(uri=("a:///",)), lambda: LOADED, broken)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reload_.run())
        reload_.asked.set()
        while "a bug while the configuration was loaded again" not in caplog.messages:
            await asyncio.sleep(0)
        assert not running.done()
        running.cancel()


@pytest.mark.usefixtures("_logged")
@pytest.mark.parametrize("outcome", [LOADED, ConfigError("no")])
async def test_the_service_manager_is_told_that_it_is_being_done_and_that_it_is_done(
    monkeypatch: pytest.MonkeyPatch, outcome: Loaded | ConfigError
) -> None:
    world, said, done = World(), list[str](), asyncio.Event()
    world.outcome = outcome

    def notify(state: str) -> None:
        said.append(state)
        if state == "READY=1":
            done.set()

    monkeypatch.setattr(reload, "notify", notify)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.reload.run())
        world.reload.asked.set()
        await done.wait()
        running.cancel()
    assert said[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert said[1:] == ["READY=1"]


async def test_it_is_not_told_that_it_is_done_where_a_stop_breaks_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    said, begun, held = list[str](), asyncio.Event(), threading.Event()

    def notify(state: str) -> None:
        said.append(state.partition("\n")[0])
        begun.set()

    def read() -> Loaded:
        held.wait(DEADLINE)
        return LOADED

    monkeypatch.setattr(reload, "notify", notify)
    reload_ = Reload(LOADED.config, read, World().apply)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reload_.run())
        reload_.asked.set()
        await begun.wait()
        running.cancel()
    held.set()
    assert said == ["RELOADING=1"]


# What waits for a restart.


def test_what_takes_effect_at_once_does_not_wait() -> None:
    running = Config(uri=("a:///",))
    loaded = Config(
        uri=("a:///", "b:///"),
        hypervisor=(HypervisorRule(uri="b:///", pool=3),),
        console=(ConsoleRule(match="x", attach=Policy.ALWAYS, linger=3),),
        attach=Policy.NEVER,
        linger=1,
        domain=("x",),
        log_level="debug",
        limits=LimitRules(clients=1),
    )

    assert waiting_keys(running, loaded) == []


@pytest.mark.parametrize(
    ("loaded", "keys"),
    [
        (Config(uri=("a:///",), journal=Kept.NONE), ["journal"]),
        (Config(uri=("a:///",), hypervisor=(HypervisorRule(uri="a:///", pool=3),)), ["hypervisor.pool"]),
        (Config(uri=("a:///",), console=(ConsoleRule(match="x", ring=20000),)), ["console.ring"]),
        (Config(uri=("a:///",), console=(ConsoleRule(match="x", journal=Kept.NONE),)), ["console.journal"]),
    ],
)
def test_what_does_not_is_named(loaded: Config, keys: list[str]) -> None:
    assert waiting_keys(Config(uri=("a:///",)), loaded) == keys


def test_a_key_at_the_top_is_named_and_not_those_that_it_stands_for() -> None:
    remote = ("qemu+ssh://there/system",)

    assert waiting_keys(Config(uri=remote), Config(uri=remote, pool=2)) == ["pool"]
