"""What is counted and measured fits what happened, however it is asked for."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.activated import activated
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.harness.scraping import Scraped, scrape
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Ended, Event, State, connect
from virtmux.reasons import Cause


@pytest.fixture
def metrics() -> Iterator[Path]:
    """Where the daemon is given a socket for metrics."""
    with TemporaryDirectory(prefix="vmxm-") as directory:
        yield Path(directory, "virtmux-metrics.sock")


async def test_metrics_tell_of_a_guest_that_somebody_used_and_destroyed(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, metrics: Path
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", through=activated(metrics))
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await client.until_output(BANNER)
        await client.console.write(b"hello")
        await client.until_output(b"hello")
        here = {"uri": libvirtd.uri, "domain": guest.name, "device": "serial0"}

        before = await scrape(metrics)
        assert before("virtmux_hypervisor_connected", uri=libvirtd.uri) == 1
        assert before("virtmux_consoles", state="attached") == before("virtmux_console_attached", **here) == 1
        assert before("virtmux_clients") == before("virtmux_console_places", **here) == 1
        assert before("virtmux_console_attachments_total", **here) == 1
        assert before("virtmux_console_output_bytes_total", **here) == len(BANNER) + 5
        assert before("virtmux_console_delivered_bytes_total", **here) == len(BANNER) + 5
        assert before("virtmux_console_lag_bytes", **here) == before("virtmux_console_unheld", **here) == 0
        assert before("virtmux_console_input_bytes_total", fate="accepted", **here) == 5
        assert before("virtmux_ends_total", uri=libvirtd.uri, cause="guest-destroyed") == 0
        assert before("virtmux_threads_max", purpose="calls") == 8
        assert before("virtmux_process_open_fds") > 10

        await guest.destroy()
        await client.until(lambda one: bool(one.marks(Ended)))
        after = await scrape(metrics)
        assert after("virtmux_ends_total", uri=libvirtd.uri, cause=Cause.GUEST_DESTROYED.value) == 1
        assert after("virtmux_console_attached", **here) == 0

    status, text, talk = await mux.run_client("status", "--openmetrics")
    assert (status, talk) == (0, "")
    assert Scraped(text.decode()).names == after.names


async def test_the_series_of_a_console_vanish_with_it_and_the_sums_stay(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, metrics: Path
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always", through=activated(metrics))
    async with follow(mux.socket, guest.name, replay="all") as client:
        await client.echo(b"hello")
    before = await scrape(metrics)
    assert before("virtmux_console_output_bytes_total", domain=guest.name) > 0

    async with connect(mux.socket) as other:
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(other.events()) as events:
            await anext(events)  # it appeared: from now on all is told
            await guest.undefine()
            await guest.destroy()
            async for happening in events:
                if isinstance(happening, Event) and happening.event == "vanished":
                    break
        after = await scrape(metrics)
        measured = await other.statistics()

    assert list(after.all("virtmux_console_attached")) == []
    assert after("virtmux_output_bytes_total") >= before("virtmux_output_bytes_total") > 0
    assert measured.tally.output == after("virtmux_output_bytes_total")
    assert measured.consoles[State.ATTACHED] == 0
    assert after("virtmux_client_ends_total", cause="detached") >= 1


async def test_they_are_told_to_people_too_and_series_of_consoles_can_be_turned_off(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always", config="[metrics]\nper_console = false\n")
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
    _, text, _ = await mux.run_client("status", "--openmetrics")
    names = Scraped(text.decode()).names
    assert "virtmux_output_bytes_total" in names
    assert not [name for name in names if name.startswith("virtmux_console_")]
    await mux.reload("[metrics]\nper_console = true\n")
    _, text, _ = await mux.run_client("status", "--openmetrics")
    assert Scraped(text.decode())("virtmux_console_attached", domain=guest.name) == 1

    _, text, _ = await mux.run_client("status", "--json")
    told = json.loads(text.splitlines()[0])["statistics"]
    assert told["tally"]["attachments"] == 1
    assert told["threads"]["quota"] > 0
    _, text, _ = await mux.run_client("status")
    assert "attachments  1; 0 breaks, 0.0 s together\n" in text.decode()
