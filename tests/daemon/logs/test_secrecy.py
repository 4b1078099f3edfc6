"""What guests print and people type is in no record, whatever goes wrong; and names make no lines of their own."""

import asyncio
import logging
import struct
from pathlib import Path

import pytest

from tests.harness.consoles import Consoles
from tests.harness.served import served
from virtmux.features import Feature
from virtmux.messages import Attach, Detach, Done, Place
from virtmux.reasons import Cause, sentence
from virtmux.wire import ProtocolError, encode_input
from virtmuxd import logs
from virtmuxd.core.company import Company
from virtmuxd.core.events import Policy
from virtmuxd.logs.sinks import Journald, Lines
from virtmuxd.service.clients import Clients
from virtmuxd.service.console_log import log_event

SECRET = b"hunter2-correct-horse"


class Written:
    """All that is logged, as lines on stderr; what journald would get is the same but for its form."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog

    def __call__(self) -> str:
        return b"".join(map(Lines(2, to_journal=False).render, self._caplog.records)).decode()

    @property
    def anywhere(self) -> bytes:
        """The lines, and the fields of journald's records behind them."""
        journald = Journald(Path("/nonexistent"))
        with journald._socket:
            return self().encode() + b"".join(map(journald.render, self._caplog.records))


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> Written:
    return Written(caplog)


def held(domain: str = "web1") -> Consoles:
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.registry.watch(log_event)
    consoles.add(domain).attach()
    return consoles


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">IB", len(payload) + 1, kind) + payload


async def test_what_is_printed_and_typed_is_not_logged(written: Written) -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.registry.watch(log_event)
    bench = consoles.add()
    bench.attach()
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        bench.output(SECRET)
        await peer.put(handle, 1, 0, SECRET)
        bench.stop()
        await peer.put(handle, 1, len(SECRET), SECRET)
        await peer.say(Detach(9, handle))
        await peer.until(Done)
    said = written()
    assert "a console has ended" in said
    assert "audit: typed" in said
    assert SECRET not in written.anywhere


@pytest.mark.parametrize(
    "sent",
    [
        frame(9, SECRET),
        frame(3, SECRET),
        frame(3, SECRET[:10]),
        frame(1, SECRET),
        frame(1, b'{"type":"' + SECRET),
        frame(1, b'{"type":"' + SECRET + b'"}'),
        frame(1, b'{"type":"guest","id":1,"domain":"web1","action":"' + SECRET + b'"}'),
        SECRET,
        frame(2, struct.pack(">IQ", 1, 0) + SECRET),
        encode_input(77, 1, 0, SECRET),
        encode_input(1, 5, 0, SECRET),
        encode_input(1, 1, 100, SECRET),
        struct.pack(">IB", 1 << 31, 3) + SECRET,
    ],
)
async def test_input_in_a_broken_frame_is_neither_logged_nor_told(written: Written, sent: bytes) -> None:
    async with served(held().registry) as peer:
        await peer.greet()
        await peer.attach()
        await peer.send(sent)
        reason = await peer.goodbye()  # its text is also logged, with `client left`
    assert reason.cause is Cause.PROTOCOL_ERROR
    assert SECRET.decode() not in reason.text
    assert SECRET not in written.anywhere


async def test_input_is_not_logged_where_a_bug_meets_it(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_company: Company, _place: object, _attachment: int, _offset: int, data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Company, "type", broken)
    async with served(held().registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.put(handle, 1, 0, SECRET)
        reason = await peer.goodbye()
    assert (reason.cause, reason.text) == (Cause.INTERNAL_ERROR, sentence(Cause.INTERNAL_ERROR))
    said = written()
    assert "error a bug while serving a client" in said
    assert "ZeroDivisionError" in said
    assert SECRET not in written.anywhere


async def test_what_proves_a_right_is_not_logged(written: Written) -> None:
    """Whoever has a token may have the exclusive right; a proof is for one user, and tells where that one's reading
    began."""
    clients, consoles = Clients(), held()
    async with (
        served(consoles.registry, clients=clients) as alice,
        served(consoles.registry, clients=clients, user="bob") as bob,
    ):
        proving: list[str | None] = []
        for peer in (alice, bob):
            await peer.greet(Feature.ROLES, Feature.ACCESS)
            await peer.say(Attach(1, "web1", exclusive=True, steal=True))
            place = await peer.until(Place)
            proving += [place.token, place.proof]
    assert "audit: stole" in written()
    assert [each for each in proving if each is None or each.encode() in written.anywhere] == []


async def test_the_arguments_of_a_callback_that_fails_are_not_logged(written: Written) -> None:
    def broken(data: bytes) -> None:
        raise ProtocolError("x")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_failed)
    loop.call_soon(broken, SECRET)
    await asyncio.sleep(0)
    said = written()
    assert said.startswith("error a bug in what the loop called\n")
    assert "ProtocolError: x" in said
    assert SECRET not in written.anywhere


async def test_what_the_loop_has_to_tell_of_something_else_is_logged(written: Written) -> None:
    logs.loop_failed(asyncio.get_running_loop(), {"message": "Task was destroyed but it is pending!"})
    assert "Task was destroyed" in written()


@pytest.mark.parametrize("name", ["a\nerror a bug", "\x1b]0;x\x07", "a\u2028b", "'; drop"])
async def test_a_name_makes_no_line_of_its_own(written: Written, name: str) -> None:
    consoles = held(name)
    async with served(consoles.registry, user=name) as peer:
        await peer.greet()
        await peer.say(Attach(1, name), Attach(2, "nobody\nerror forged"))
        await peer.until(Place)
    lines = written().splitlines()
    assert all(line.isprintable() for line in lines)
    assert {line.split()[0] for line in lines} == {"info"}
    assert len([line for line in lines if line.startswith("info audit: attached")]) == 1
