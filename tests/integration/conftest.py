"""Fixtures of the integration tests: all that they start is ended, also where a test fails or is interrupted."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, NoReturn, Protocol

import pytest

from tests.harness.counts import CHAOS
from tests.harness.daemon import Daemon
from tests.harness.guest import Guest, boot_sector_guest, linux_guest
from tests.harness.libvirtd import Libvirtd, VirshError

State = Literal["defined", "paused", "running"]


class StartGuest(Protocol):
    """Makes a guest on a libvirtd and brings it to `state`."""

    async def __call__(
        self,
        libvirtd: Libvirtd,
        *,
        state: State = "running",
        extra_devices: str = "",
    ) -> Guest: ...


class StartDaemon(Protocol):
    """Starts a virtmuxd for the libvirtds at `uris`; `watched`: see `Daemon`."""

    async def __call__(
        self, *uris: str, attach: str = "on-demand", arguments: Sequence[str] = (), watched: bool = False
    ) -> Daemon: ...


def pytest_configure() -> None:
    """A run that is terminated cleans up as one that is interrupted from the keyboard does."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    """The libvirtd that is shared by the tests that do it no harm."""
    with Libvirtd() as shared:
        yield shared


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
    async with _factory(libvirtd, boot_sector_guest) as start:
        yield start


@pytest.fixture
async def linux(libvirtd: Libvirtd) -> AsyncIterator[StartGuest]:
    """A factory of Linux guests: for what needs a shell."""
    async with _factory(libvirtd, linux_guest) as start:
        yield start


@pytest.fixture
async def daemon() -> AsyncIterator[StartDaemon]:
    """A factory of daemons. What they logged is shown where the test fails."""
    started: list[Daemon] = []

    async def start(
        *uris: str, attach: str = "on-demand", arguments: Sequence[str] = (), watched: bool = False
    ) -> Daemon:
        started.append(Daemon(uris, attach=attach, arguments=arguments, watched=watched))
        await started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            print(one.log)
        for one in started:
            await one.close()


@pytest.fixture
def letting_go(tmp_path: Path) -> list[str]:
    """Arguments for a daemon that lets a console go at once when nobody is at it."""
    config = tmp_path / "letting-go.toml"
    config.write_text("linger = 0\n")
    return ["--config", str(config)]


@pytest.fixture
def progress(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tells how far a long test has come, past pytest's capturing; in `make chaos` alone."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        if CHAOS and capture is not None:
            with capture.global_and_fixture_disabled():
                print(f"\n{request.node.name}: {text}", end="", flush=True)

    return tell


@asynccontextmanager
async def _factory(shared: Libvirtd, make: Callable[..., Guest]) -> AsyncIterator[StartGuest]:
    guests: list[Guest] = []

    async def start(libvirtd: Libvirtd, *, state: State = "running", extra_devices: str = "") -> Guest:
        guest = make(libvirtd, extra_devices=extra_devices)
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
