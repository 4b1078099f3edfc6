"""What a client types: it is queued for the guest, its fate is told, and what is out of order ends the client alone."""

from typing import Any

import pytest

from tests.harness.consoles import Consoles, always, held
from tests.harness.served import everything_taken, limited, served
from virtmux.messages import (
    Attach,
    Confirm,
    Detach,
    Done,
    InputStatus,
    encode,
)
from virtmux.reasons import Cause
from virtmux.wire import Output, encode_input


async def test_input_is_queued_for_the_guest_and_its_fate_is_told() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.put(handle, 1, 0, b"ls")
        await peer.put(handle, 1, 2, b"\r")
        await everything_taken(peer)

        bench.console.inputs.ask()
        batch = bench.console.inputs.take()
        assert batch is not None
        assert batch.packets == (b"ls\r",)
        bench.console.sent(batch, bench.tick())

        assert await peer.expect(InputStatus) == InputStatus(handle, 1, 3)


async def test_whose_input_is_held_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = always()
    bench = held(consoles)
    places: list[Any] = []
    monkeypatch.setattr(bench.console.company, "confirm", places.append)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.put(handle, 1, 0, b"ls")
        await peer.say(Confirm(handle), Confirm(handle + 1))
        await everything_taken(peer)
        [place] = places
        place.writer.account.held = True
        place.writer.changed()

        assert await peer.expect(InputStatus) == InputStatus(handle, 1, 0, held=True)


async def test_input_in_flight_and_waiting_is_settled_when_the_attachment_ends() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.put(handle, 1, 0, b"one")
        await everything_taken(peer)
        bench.console.inputs.take()
        await peer.put(handle, 1, 3, b"two!")
        await everything_taken(peer)

        bench.stop("CRASHED")

        status = await peer.until(InputStatus)
        assert (status.accepted, status.unknown, status.rejected) == (0, 3, 4)
        assert status.cause is not None


@pytest.mark.parametrize("socket_is_read_only", [True, False])
async def test_input_of_who_may_only_watch_is_rejected(socket_is_read_only: bool) -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry, read_only=socket_is_read_only) as peer:
        await peer.greet()
        place = await peer.attach(read_only=not socket_is_read_only)
        assert place.read_only
        await peer.put(place.info.console, 1, 0, b"poweroff\r")

        status = await peer.expect(InputStatus)

        assert (status.rejected, status.cause) == (9, Cause.ACCESS_DENIED)
        assert not bench.console.inputs.waiting


async def test_input_behind_a_detach_is_ignored() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.say(Detach(9, handle))
        await peer.put(handle, 1, 0, b"late")

        assert await peer.expect(Done) == Done(9)
        await everything_taken(peer)
        assert not bench.console.inputs.waiting


async def test_input_behind_a_detach_is_ignored_also_of_a_client_that_is_gone() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        late = encode_input(handle, 1, 0, b"late")
        refused = encode(Attach(8, "web1"))  # at once: so it is found out that nobody is there
        await peer.send(refused * 2 + encode(Detach(9, handle)) + late)
        peer.socket.close()

        await peer.ended()
        assert not bench.console.inputs.waiting


async def test_input_at_another_console_breaks_the_protocol() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.put(7, 1, 0, b"x")

        reason = await peer.goodbye()
        assert reason.cause is Cause.PROTOCOL_ERROR
        assert "console 7" in reason.text


async def test_more_input_than_the_window_breaks_the_protocol_and_harms_nobody_else() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry, limits=limited(input_window=20)) as rude, served(consoles.registry) as other:
        for peer in (rude, other):
            await peer.greet()
            await peer.attach()
        handle = bench.console.handle
        await rude.put(handle, 1, 0, bytes(21))
        assert (await rude.goodbye()).cause is Cause.PROTOCOL_ERROR

        bench.output(b"x")
        assert (await other.expect(Output)).data == b"x"
