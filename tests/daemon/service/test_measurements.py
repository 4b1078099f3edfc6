"""What the daemon measures, typed for `status` and as text; the text is rendered once for all who wait for it."""

import asyncio
import threading

import pytest

from tests.harness.consoles import HYPERVISOR, START, URI, Consoles
from tests.harness.scraping import Scraped
from virtmux.messages import State
from virtmux.reasons import Cause
from virtmux.records import rfc3339
from virtmuxd.core.events import Policy
from virtmuxd.service import measurements as module
from virtmuxd.service.clients import Clients
from virtmuxd.service.exposition import Format
from virtmuxd.service.measurements import Measurements


@pytest.fixture
def consoles() -> Consoles:
    """One that is attached and said something."""
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.registry.serve(URI, START)
    consoles.registry.identified(HYPERVISOR + URI, URI)
    bench = consoles.add()
    bench.attach()
    bench.output(b"hello")
    return consoles


async def test_the_statistics_are_of_the_daemon_as_a_whole(consoles: Consoles) -> None:
    clients = Clients()
    clients.ends[Cause.EVICTED] += 1
    measurements = Measurements(consoles.registry, clients, START, per_console=True)
    measurements.loop_lag.beat(0.2)

    told = measurements.statistics()

    assert (told.since, told.clients, told.client_ends) == (rfc3339(START), 0, {Cause.EVICTED: 1})
    assert (told.consoles[State.ATTACHED], told.tally.output, told.places) == (1, 5, 0)
    assert told.loop_lag == 0.2
    assert told.process.memory > 1 << 20


async def test_whether_consoles_have_series_can_change_and_be_asked(consoles: Consoles) -> None:
    measurements = Measurements(consoles.registry, Clients(), START, per_console=True)
    with_them = Scraped((await measurements.text(Format.OPENMETRICS)).decode())
    for_strangers = Scraped((await measurements.text(Format.OPENMETRICS, of_consoles=False)).decode())
    measurements.per_console = False
    without = Scraped((await measurements.text(Format.OPENMETRICS)).decode())
    measurements.close()

    assert with_them("virtmux_console_output_bytes_total") == without("virtmux_output_bytes_total") == 5
    assert not list(without.all("virtmux_console_output_bytes_total"))
    assert for_strangers.names == without.names


async def test_who_asks_while_a_text_is_rendered_gets_that_one(
    consoles: Consoles, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, rendered = threading.Event(), []

    def render(_snapshot: object, format_: Format) -> bytes:
        assert go_on.wait(10)
        rendered.append(format_)
        return b"text"

    monkeypatch.setattr(module, "render", render)
    measurements = Measurements(consoles.registry, Clients(), START, per_console=True)
    one, same = (measurements.text(Format.OPENMETRICS) for _ in range(2))
    other = measurements.text(Format.PROMETHEUS)
    go_on.set()
    assert set(await asyncio.gather(one, same, other)) == {b"text"}
    assert rendered == [Format.OPENMETRICS, Format.PROMETHEUS]
    await measurements.text(Format.OPENMETRICS)
    assert len(rendered) == 3
    measurements.close()


async def test_a_text_that_cannot_be_rendered_is_tried_again_for_the_next(
    consoles: Consoles, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurements = Measurements(consoles.registry, Clients(), START, per_console=True)
    with monkeypatch.context() as patched:
        patched.setattr(module, "render", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            await measurements.text(Format.OPENMETRICS)
    assert await measurements.text(Format.OPENMETRICS)
    measurements.close()
