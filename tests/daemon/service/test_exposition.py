"""What is scraped can be parsed, in both formats, whatever guests are called."""

import re
from typing import Any

from prometheus_client import parser

from tests.harness.scraping import Scraped
from virtmux import __version__
from virtmux.messages import Counters, ProcessInfo, State, Tally, Threads
from virtmux.reasons import Cause
from virtmuxd.core.loop_lag import BOUNDS, LoopLag
from virtmuxd.core.statistics import ConsoleFigures, Figures, HypervisorFigures
from virtmuxd.service.exposition import Format, render
from virtmuxd.service.metrics import LoopFigures, Snapshot

SECOND = 10**9
#: What libvirt lets a domain be called, and more.
HOSTILE = 'x"y\\z\n{}#=,é\U0001f600 \x1b[31m'
TALLY = Tally(1, 2, 3.5, 4, 5, 6, 7, 8, 9, 10, 11)


def console(domain: str = "web1", **facts: Any) -> ConsoleFigures:
    figures = ConsoleFigures("qemu:///system", domain, "serial0", True, False, 2, 3, 5 * SECOND, False, TALLY)
    return figures._replace(**facts)


def snapshot(*consoles: ConsoleFigures) -> Snapshot:
    lag = LoopLag()
    lag.beat(0.3)
    hypervisor = HypervisorFigures(
        uri="qemu:///system",
        connected=True,
        consoles={state: number for number, state in enumerate(State)},
        unheld=1,
        places=2,
        lag=3,
        tally=TALLY,
        counters=Counters(1, 2, {Cause.GUEST_CRASHED: 3}, 4, 5),
        threads={"calls": Threads(1, 8, 0)},
        journal_failing=6,
        journal_lag=7,
    )
    return Snapshot(
        figures=Figures([hypervisor], list(consoles)),
        began=5 * SECOND,
        clients=9,
        client_ends={Cause.EVICTED: 1, Cause.SERVER_STOPPING: 2},
        loop=LoopFigures(lag.counts, lag.sum, lag.worst),
        process=ProcessInfo(10, 1024, 1 << 20, 1.5),
    )


def scraped(*consoles: ConsoleFigures) -> Scraped:
    return Scraped(render(snapshot(*consoles), Format.OPENMETRICS).decode())


def test_each_number_stands_under_its_name_and_labels() -> None:
    told = scraped(console())
    here = {"uri": "qemu:///system", "domain": "web1", "device": "serial0"}
    assert told("virtmux_build_info", version=__version__) == 1
    assert told("virtmux_clients") == 9
    assert told("virtmux_client_ends_total", cause="evicted") == 1
    assert told("virtmux_consoles", uri="qemu:///system", state="attached") == 2
    assert told("virtmux_ends_total", cause="guest-crashed") == 3
    assert told("virtmux_threads_max", purpose="calls") == 8
    assert told("virtmux_console_attached", **here) == 1
    assert told("virtmux_console_unheld", **here) == 0
    assert told("virtmux_console_last_output_timestamp_seconds", **here) == 5
    assert told("virtmux_console_input_bytes_total", fate="rejected", **here) == 10
    assert told("virtmux_console_break_seconds_total", **here) == 3.5
    assert told("virtmux_break_seconds_total", uri="qemu:///system") == 3.5


def test_what_did_not_happen_yet_is_there_with_0() -> None:
    told = scraped()
    assert told("virtmux_ends_total", cause="guest-failed") == 0
    assert told("virtmux_client_ends_total", cause="too-slow") == 0
    assert list(told.all("virtmux_ends_total", cause="too-slow")) == [], "a console cannot end so"


def test_what_is_not_known_is_absent() -> None:
    told = scraped(console(spoke_at=None, journal_failing=None))
    assert not told.names & {"virtmux_console_last_output_timestamp_seconds", "virtmux_console_journal_failing"}
    assert not [name for name in scraped().names if name.startswith("virtmux_console_")]


def test_the_loop_lag_is_a_histogram() -> None:
    told = scraped()
    counts = {bound: told("virtmux_loop_lag_seconds_bucket", le=str(bound)) for bound in BOUNDS}
    assert counts == {bound: float(bound >= 0.3) for bound in BOUNDS}
    assert told("virtmux_loop_lag_seconds_bucket", le="+Inf") == told("virtmux_loop_lag_seconds_count") == 1
    assert told("virtmux_loop_lag_seconds_sum") == told("virtmux_loop_lag_worst_seconds") == 0.3


def test_a_guest_can_be_called_whatever_it_likes() -> None:
    told = scraped(console(HOSTILE), console())
    assert told("virtmux_console_attached", domain=HOSTILE) == told("virtmux_console_attached", domain="web1") == 1


def test_prometheus_s_own_text_says_the_same() -> None:
    text = render(snapshot(console(HOSTILE)), Format.PROMETHEUS).decode()
    samples = [each for family in parser.text_string_to_metric_families(text) for each in family.samples]
    plain = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert plain == scraped(console(HOSTILE)).samples


def test_who_knows_only_the_older_format_can_read_openmetrics_too() -> None:
    """As node_exporter's textfile collector, which refuses types that it does not know."""
    text = render(snapshot(console()), Format.OPENMETRICS).decode()
    assert {kind for _, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)} == {
        "counter",
        "gauge",
        "histogram",
    }
    samples = {each.name for family in parser.text_string_to_metric_families(text) for each in family.samples}
    assert samples == scraped(console()).names


def test_with_a_thousand_consoles_there_are_as_many_series_of_each_name() -> None:
    told = scraped(*(console(f"guest{number}") for number in range(1000)))
    assert len(list(told.all("virtmux_console_attached"))) == 1000
