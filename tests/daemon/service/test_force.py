"""An attach that may take its console by force, as a client asks for it."""

from tests.harness.consoles import RUNNING_ID, Consoles
from tests.harness.life import BUSY
from tests.harness.served import served
from virtmux.messages import Attach, Console, Done, ListConsoles, Place, Refused, State
from virtmux.reasons import Cause
from virtmuxd.core.effects import Open
from virtmuxd.core.events import Opened, OpenFailed, Up


async def test_it_is_answered_once_the_console_was_taken() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", force=True), ListConsoles(2))
        await peer.until(Done)
        bench.happen(OpenFailed(bench.tick(), BUSY))
        assert Open(force=True) in bench.commands
        bench.happen(Opened(bench.tick(), RUNNING_ID))

        assert (await peer.expect(Place)).info.state is State.ATTACHED


async def test_who_may_only_watch_takes_nothing_by_force() -> None:
    consoles = Consoles()
    consoles.add()
    async with served(consoles.registry, read_only=True) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", force=True), ListConsoles(2))
        assert (await peer.expect(Refused)).reason.cause is Cause.ACCESS_DENIED
        assert (await peer.expect(Console)).info.clients == 0


async def test_a_place_that_only_reads_what_there_is_takes_nothing_by_force() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", hold=False, force=True))
        await peer.expect(Place)
        assert bench.commands == []
