"""Fixtures of the integration tests: all that they start is ended, also where a test fails or is interrupted."""

import subprocess
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pytest
import pytest_asyncio

from tests.harness.container import remove_cgroups, talker
from tests.harness.counts import IS_LONG
from tests.harness.daemon import Daemon
from tests.harness.follower import Follower, boot, follow
from tests.harness.guest import BANNER, Guest, boot_sector_guest, linux_guest
from tests.harness.libvirtd import Libvirtd, VirshError, dies_of_input_behind_the_end
from tests.harness.service import installed, running
from tests.harness.systemd_machine import SystemdMachine
from tests.harness.tmux import Tmux

#: The marker of tests that need what not every machine can have.
OPTIONAL = "where_it_can_be_had"
#: The marker of tests in which a guest ends, or moves, before it has its input.
DEADLY = "ends_before_its_input"

State = Literal["defined", "paused", "running"]


class StartGuest(Protocol):
    """Makes a guest on a libvirtd and brings it to `state`; `options` are those of the function that makes it."""

    async def __call__(
        self,
        libvirtd: Libvirtd,
        *,
        state: State = "running",
        **options: Any,
    ) -> Guest: ...


class StartDaemon(Protocol):
    """Starts a virtmuxd for the libvirtds at `uris`; for the rest see `Daemon`."""

    async def __call__(
        self,
        *uris: str,
        attach: str | None = None,
        arguments: Sequence[str] = (),
        config: str = "",
        through: Sequence[str] = (),
        journal: Path | None = None,
        watched: bool = False,
    ) -> Daemon: ...


class Stage(NamedTuple):
    """What the rows of a matrix share: `start` makes the row's guest."""

    libvirtd: Libvirtd
    mux: Daemon
    bystander: Follower
    start: StartGuest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{OPTIONAL}: it may be skipped where the machine cannot do it")
    config.addinivalue_line("markers", f"{DEADLY}: it is skipped where libvirtd dies of that")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A libvirtd that a test kills is missed by those behind it."""
    if item.get_closest_marker(DEADLY) is not None and dies_of_input_behind_the_end():
        pytest.skip("this libvirtd, 11.3, dies where a guest ends before it has its input (docs/libvirt.md)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped fails, but for what is marked as to be had on some machines, or with some libvirts, only.

    Those are listed with their reasons at the end of the run.
    """
    report = yield
    if report.skipped and item.get_closest_marker(OPTIONAL) is None and item.get_closest_marker(DEADLY) is None:
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    """The libvirtd that is shared by the tests that do it no harm."""
    with Libvirtd() as shared:
        yield shared


@pytest.fixture(scope="session")
def lxc() -> Iterator[Libvirtd]:
    """A libvirtd with containers, shared likewise. What uses it is marked `where_it_can_be_had`."""
    try:
        with Libvirtd("lxc") as shared:
            yield shared
    except subprocess.CalledProcessError as error:
        pytest.skip(f"libvirt has no containers here: {error.stderr.decode().strip()}")
    finally:
        remove_cgroups()


@pytest.fixture
def new_libvirtd() -> Iterator[Callable[[], Libvirtd]]:
    """A factory of libvirtds that a test may kill, freeze and double."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Libvirtd())


@pytest.fixture
def own_libvirtd(new_libvirtd: Callable[[], Libvirtd]) -> Libvirtd:
    """A libvirtd of this test alone."""
    return new_libvirtd()


@pytest.fixture
async def boot_guest(libvirtd: Libvirtd) -> AsyncIterator[StartGuest]:
    """A factory of boot-sector guests: quick, small, and as many as a test needs."""
    async with guest_factory(libvirtd, boot_sector_guest) as start:
        yield start


@pytest.fixture
async def linux(libvirtd: Libvirtd) -> AsyncIterator[StartGuest]:
    """A factory of Linux guests: for what needs a shell."""
    async with guest_factory(libvirtd, linux_guest) as start:
        yield start


@pytest.fixture
async def start_talker(lxc: Libvirtd) -> AsyncIterator[StartGuest]:
    """A factory of containers that print and count as they are told."""
    async with container_factory(lxc, talker) as start:
        yield start


@pytest.fixture
async def daemon() -> AsyncIterator[StartDaemon]:
    """A factory of daemons. What they logged is shown where the test fails."""
    started: list[Daemon] = []

    async def start(
        *uris: str,
        attach: str | None = None,
        arguments: Sequence[str] = (),
        config: str = "",
        through: Sequence[str] = (),
        journal: Path | None = None,
        watched: bool = False,
    ) -> Daemon:
        one = Daemon(
            uris, attach=attach, arguments=arguments, config=config, through=through, journal=journal, watched=watched
        )
        started.append(one)
        await one.start()
        return one

    try:
        yield start
    finally:
        for one in started:
            print(one.log)
        for one in started:
            await one.close()


@asynccontextmanager
async def bystanding(libvirtd: Libvirtd, mux: Daemon) -> AsyncIterator[tuple[Guest, Follower]]:
    """A daemon that runs, a guest, and somebody at its console, until the context is left; the console never ends."""
    async with guest_factory(libvirtd, boot_sector_guest) as start:
        guest = await start(libvirtd, state="paused")
        await mux.start()
        try:
            async with follow(mux.socket, guest.name) as bystander:
                await boot(guest, bystander, says=BANNER)
                yield guest, bystander
                assert not bystander.reasons
        finally:
            await mux.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _long_run(libvirtd: Libvirtd) -> AsyncIterator[tuple[Daemon, Follower]]:
    mux = Daemon([libvirtd.uri])
    async with bystanding(libvirtd, mux) as (_, bystander):
        yield mux, bystander


@pytest_asyncio.fixture(loop_scope="module")
async def stage(libvirtd: Libvirtd, _long_run: tuple[Daemon, Follower]) -> AsyncIterator[Stage]:
    """The stage of a row. One daemon and one bystander live through all rows of a module."""
    mux, bystander = _long_run
    logged = len(mux.log)
    async with guest_factory(libvirtd, boot_sector_guest) as start:
        yield Stage(libvirtd, mux, bystander, start)
    print(mux.log[logged:])


@pytest.fixture
def tmux() -> Iterator[Tmux]:
    """A tmux server of the test's own."""
    with Tmux() as own:
        yield own


@pytest.fixture(scope="module")
def machine() -> Iterator[SystemdMachine]:
    """A machine with a systemd of its own, where the service is installed."""
    with installed() as machine:
        yield machine


@pytest.fixture
def service(machine: SystemdMachine) -> Iterator[None]:
    """The service runs there, as it was installed."""
    with running(machine):
        yield


@pytest.fixture
def letting_go(tmp_path: Path) -> list[str]:
    """Arguments for a daemon that lets a console go at once when nobody is at it."""
    config = tmp_path / "letting-go.toml"
    config.write_text("linger = 0\n")
    return ["--config", str(config)]


@pytest.fixture
def progress(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tells how far a long test has come, past pytest's capturing; in the long runs alone (tests/harness/counts.py)."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        if IS_LONG and capture is not None:
            with capture.global_and_fixture_disabled():
                print(f"\n{request.node.name}: {text}", end="", flush=True)

    return tell


@asynccontextmanager
async def guest_factory(shared: Libvirtd, make: Callable[..., Guest]) -> AsyncIterator[StartGuest]:
    """A factory of guests, which are gone when the context is left, if `shared` is their libvirtd."""
    guests: list[Guest] = []

    async def start(libvirtd: Libvirtd, *, state: State = "running", **options: Any) -> Guest:
        guest = make(libvirtd, **options)
        guests.append(guest)
        await guest.define()
        if state != "defined":
            await guest.start(paused=state == "paused")
        return guest

    try:
        yield start
    finally:
        # The guests of a libvirtd that a test has to itself end with it, whatever state that is in.
        for guest in guests:
            if guest.libvirtd is shared:
                for end in (guest.destroy, guest.undefine):
                    with suppress(VirshError):
                        await end()


@asynccontextmanager
async def container_factory(shared: Libvirtd, make: Callable[..., Guest]) -> AsyncIterator[StartGuest]:
    """The same for containers; where none can be started, the test is skipped."""
    async with guest_factory(shared, make) as start:

        async def start_or_skip(libvirtd: Libvirtd, *, state: State = "running", **options: Any) -> Guest:
            guest = await start(libvirtd, state="defined", **options)
            if state != "defined":
                try:
                    await guest.start(paused=state == "paused")
                except VirshError as error:
                    pytest.skip(f"no container can be started here: {error}")
            return guest

        yield start_or_skip
