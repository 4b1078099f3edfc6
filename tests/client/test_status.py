"""`virtmux status`: what the daemon counts and measures, for people, for programs, and for a monitoring system."""

import json

import pytest

from tests.harness.command import running
from tests.harness.json_schema import check
from tests.harness.scripted_daemon import AT, MEASURED, Peer, ScriptedDaemon, console_info, hypervisor_info, playing
from virtmux.features import Feature
from virtmux.messages import (
    Console,
    DaemonHello,
    Done,
    Hypervisor,
    ListConsoles,
    MetricsText,
    OpenMetrics,
    StatisticsMessage,
    Status,
)
from virtmux_cli.listing import statistics_rows
from virtmux_cli.text import local_time


async def listed(daemon: ScriptedDaemon, *features: str) -> Peer:
    """A client that was greeted by a daemon that knows these features, and has got its list."""
    peer = await daemon.accept(greet=False)
    peer.say(DaemonHello(software="virtmuxd 9", features=list(features)))
    asked = await peer.expect(ListConsoles)
    peer.say(Hypervisor(asked.id, hypervisor_info()), Console(asked.id, console_info()), Done(asked.id))
    return peer


async def measuring(daemon: ScriptedDaemon) -> None:
    peer = await listed(daemon, Feature.STATISTICS)
    asked = await peer.expect(Status)
    peer.say(StatisticsMessage(asked.id, MEASURED), Done(asked.id))
    await peer.gone()


async def older(daemon: ScriptedDaemon) -> None:
    peer = await listed(daemon)
    await peer.gone()


def test_the_rows_say_what_was_counted_and_measured() -> None:
    assert statistics_rows(MEASURED) == [
        ["connections", "3, 5 ended"],
        ["attachments", "5; 2 breaks, 1.2 s together; 1 not held that should be"],
        ["output", "1000 bytes; 3000 to clients, 20 missed in 1 gaps"],
        ["input", "9 bytes; 1 rejected, 2 unknown"],
        ["lag", "17 bytes at most; 6 places taken away"],
        ["journal", "42 bytes behind at most; 2 consoles failing"],
        ["threads", "2 busy of 524, 1 stuck"],
        ["event loop", "12 ms late at most, in the last minute"],
        ["process", f"since {local_time(AT)}; 12.2 s of CPU, 45 MiB of memory, 34 of 1024 files"],
    ]


async def test_people_see_it_below_what_the_daemon_is(daemon: ScriptedDaemon) -> None:
    async with playing(daemon, measuring), running(daemon.path, "status") as command:
        status, out, err = await command.finish()
    assert (status, err) == (0, "")
    text = out.decode()
    assert text.startswith("daemon       virtmuxd 9\n")
    assert "\nthreads      2 busy of 524, 1 stuck\n" in text
    assert "\nHYPERVISOR" in text


async def test_programs_get_it_as_it_is(daemon: ScriptedDaemon) -> None:
    async with playing(daemon, measuring), running(daemon.path, "status", "--json") as command:
        status, out, err = await command.finish()
    assert (status, err) == (0, "")
    check("status", out)
    told = json.loads(out.splitlines()[0])["statistics"]
    assert (told["tally"]["output"], told["threads"]["stuck"], told["client_ends"]["evicted"]) == (1000, 1, 1)


async def test_an_older_daemon_shows_what_it_can(daemon: ScriptedDaemon) -> None:
    async with playing(daemon, older), running(daemon.path, "status", "--json") as command:
        status, out, err = await command.finish()
    assert (status, err) == (0, "")
    assert json.loads(out.splitlines()[0])["statistics"] is None


async def test_the_metrics_are_printed_as_they_come(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await listed(daemon, Feature.STATISTICS)
        asked = await peer.expect(OpenMetrics)
        peer.say(MetricsText(asked.id, "# TYPE x ga"), MetricsText(asked.id, "uge\nx 1.0\n# EOF\n"), Done(asked.id))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "status", "--openmetrics") as command:
        assert await command.finish() == (0, b"# TYPE x gauge\nx 1.0\n# EOF\n", "")


async def test_an_older_daemon_has_no_metrics_and_that_is_said(daemon: ScriptedDaemon) -> None:
    async with playing(daemon, older), running(daemon.path, "status", "--openmetrics") as command:
        status, out, err = await command.finish()
    assert (status, out) == (1, b"")
    assert err == (
        "virtmux: this virtmuxd is older than this virtmux and does not know that: `statistics`; virtmuxd 9 "
        "(feature-missing); update virtmuxd and restart it\n"
    )


@pytest.mark.parametrize("arguments", [("status", "--json"), ("-H", "a", "-H", "b", "status")])
async def test_metrics_are_of_one_host_and_no_json(daemon: ScriptedDaemon, arguments: tuple[str, ...]) -> None:
    async with running(daemon.path, *arguments, "--openmetrics") as command:
        status, out, err = await command.finish()
    assert (status, out) == (2, b"")
    assert "--openmetrics is for one host, and without --json" in err
