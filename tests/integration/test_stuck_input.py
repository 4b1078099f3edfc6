"""Input that a guest does not take: it harms no other console, and what becomes of it is said, byte for byte."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.harness.counts import REPEAT, count
from tests.harness.echo import echoes_for, echoing, on_the_way, quiet_echoes
from tests.harness.follower import follow
from tests.harness.guest import BANNER, STOP_READING
from tests.harness.libvirtd import Libvirtd
from tests.harness.paster import pasting
from tests.harness.ptys import takes_ptys
from tests.harness.terminal import at_terminal
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Break, Cause
from virtmux.wire import MAX_INPUT

#: Lines that differ, so that what a guest echoes shows which of them it got, and how often. In `make repeat` 1 MiB; the
#: guest echoes some 6 KB a second, because each byte is an interrupt and a packet of its own.
PASTE = b"".join(b"paste %09d\n" % number for number in range(count(5120, 65536)))
ECHOED_WITHIN = count(90, 900)
#: How long the guest stays paused, in seconds; in `make repeat` longer than libvirtd's keepalive would bear, 30 s.
PAUSED_FOR = count(1, 40)
#: What a client may have on its way to a console, in bytes.
WINDOW = 65536
#: What the daemon's memory may grow by while a window of input is held: that, and what its reading and telling takes,
#: in KiB. The ring is a file and does not count.
HELD_KIB = WINDOW // 1024 + 512
#: The same behind all: no more than libc's allocators keep of the traffic, thread by thread, which ceases to grow at
#: 600 to 1600 KiB. The paste and its echo, were they kept, would be 2 MiB besides.
PASSED_KIB = 2048
#: Guests that read nothing at the same time.
DEAF = count(3, 24)
#: libvirtd itself cuts a connection whose input waits after some 30 s, and gives the console free only then.
CUT_WITHIN = 75.0


async def test_a_paste_to_a_paused_guest_waits_for_it_and_harms_nobody(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    paused, beside, elsewhere = [await boot_guest(each) for each in (libvirtd, libvirtd, own_libvirtd)]
    mux = await daemon(libvirtd.uri, own_libvirtd.uri)
    async with (
        pasting(mux.socket, paused.name) as paster,
        follow(mux.socket, beside.name) as neighbour,
        follow(mux.socket, elsewhere.name) as stranger,
    ):
        bystanders = (neighbour, stranger)
        for bystander in bystanders:
            await bystander.until_attached()
        way = on_the_way(mux, beside, elsewhere)
        quiet = [await quiet_echoes(bystander, way=way) for bystander in bystanders]
        memory = mux.anonymous_kib
        await paused.suspend()
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(paster.type(PASTE))
            await paster.until(lambda one: one.fate(1).held and one.undecided(1) > WINDOW - MAX_INPUT)
            meanwhile = await echoes_for(PAUSED_FOR, *bystanders, way=way)
            for now, before in zip(meanwhile, quiet, strict=True):
                now.hold_against(before)
            held_kib = mux.anonymous_kib - memory
            assert held_kib < HELD_KIB
            told = paster.fate(1)
            assert told.held
            assert told.accepted <= 16384, "no more than a serial line takes"
            assert paster.undecided(1) > WINDOW - MAX_INPUT
            assert (told.unknown, told.rejected) == (0, 0)
            assert not typing.done()
            assert not paster.output
            await paused.resume()
        await paster.until_decided(1, seconds=ECHOED_WITHIN)
        assert paster.fate(1).accepted == len(PASTE)
        assert not paster.fate(1).held
        await paster.until(lambda one: len(one.output) >= len(PASTE), seconds=ECHOED_WITHIN)
        assert paster.output == PASTE, "whole, in order, once"
        assert not paster.ends
        for bystander in bystanders:
            assert not bystander.reasons
        passed_kib = mux.anonymous_kib - memory
        print(f"memory: {held_kib} KiB more while held, {passed_kib} KiB in the end")
        assert passed_kib < PASSED_KIB


@pytest.fixture
def impatient() -> Iterator[tuple[Libvirtd, list[str]]]:
    """A libvirtd that waits for 3 s until input is taken, in `make repeat` its usual 30, and arguments for virtmuxd."""
    with Libvirtd(conf="" if REPEAT else "keepalive_interval = 1\nkeepalive_count = 2\n") as libvirtd:
        config = libvirtd.base / "virtmuxd.toml"
        config.write_text("" if REPEAT else "fence_deadline = 1\nfence_patience = 5\n")
        yield libvirtd, ["--config", str(config)]


async def test_a_paste_to_a_guest_that_reads_nothing_is_cut_and_named_unknown(
    impatient: tuple[Libvirtd, list[str]], boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    libvirtd, arguments = impatient
    deaf, other = await boot_guest(libvirtd), await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, arguments=arguments)
    async with pasting(mux.socket, deaf.name) as paster, follow(mux.socket, other.name) as bystander:
        await bystander.until_attached()
        quiet = await quiet_echoes(bystander, way=on_the_way(mux, other))
        await paster.type(b"!")
        await paster.until_output(b"!")
        await paster.type(STOP_READING)
        async with echoing(bystander, on_the_way(mux, other)) as meanwhile, asyncio.TaskGroup() as tasks:
            tasks.create_task(paster.type(PASTE))
            await paster.until_attached(2, seconds=CUT_WITHIN)
        meanwhile.hold_against(quiet)
        assert [type(mark) for mark in paster.marks][-2:] == [Break, Attached], "cut and reopened"
        assert not paster.ends, "the console did not end"
        fate = paster.fate(1)
        assert paster.undecided(1) == 0
        assert fate.unknown > 0
        assert fate.cause is not None
        assert fate.accepted + fate.unknown <= 32768, "what is beyond a serial line and one batch is rejected"

        # What the serial line still holds is the next to be read: a part of what may have arrived, once.
        await deaf.reset()
        await paster.until(lambda one: BANNER in one.output)
        await paster.type(b"=end=", 2)
        await paster.until_output(b"=end=")
        echoed = paster.output.partition(BANNER)[2].removesuffix(b"=end=")
        assert echoed in (STOP_READING + PASTE)[: fate.accepted + fate.unknown], "nothing was sent again"
        assert not bystander.reasons
        assert paster.fate(2).unknown == paster.fate(2).rejected == 0


async def test_many_guests_that_read_nothing_are_no_matter_to_others_and_whoever_types_there_is_told(
    impatient: tuple[Libvirtd, list[str]], boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    libvirtd, arguments = impatient
    *deaf, last, other = [await boot_guest(libvirtd) for _ in range(DEAF + 2)]
    mux = await daemon(libvirtd.uri, arguments=arguments)
    async with AsyncExitStack() as stack:
        bystander = await stack.enter_async_context(follow(mux.socket, other.name))
        pasters = [await stack.enter_async_context(pasting(mux.socket, guest.name)) for guest in deaf]
        person = await stack.enter_async_context(at_terminal(mux.socket, "attach", last.name, seconds=CUT_WITHIN))
        await person.expect(b"Escape character is")
        await bystander.until_attached()
        quiet, memory = await quiet_echoes(bystander, way=on_the_way(mux, other)), mux.anonymous_kib
        for paster in pasters:
            await paster.type(STOP_READING)
        async with echoing(bystander, on_the_way(mux, other)) as meanwhile, asyncio.TaskGroup() as tasks:
            for paster in pasters:
                tasks.create_task(paster.type(PASTE))
            await asyncio.to_thread(person.send_all, STOP_READING + PASTE[: WINDOW // 2])
            told = await person.expect(b"bytes of input may not have arrived")
            for paster in pasters:
                await paster.until_attached(2, seconds=CUT_WITHIN)
                await paster.until_decided(1)
        meanwhile.hold_against(quiet)
        assert re.search(rb"virtmux: \d+ of \d+ \Z", told)
        assert mux.anonymous_kib - memory < (DEAF + 1) * HELD_KIB
        for paster in pasters:
            assert paster.fate(1).unknown > 0
            assert not paster.ends, "the console did not end"
        assert not bystander.reasons


@pytest.mark.parametrize(
    "paused",
    [pytest.param(True, id="paused"), pytest.param(False, id="reads nothing", marks=pytest.mark.ends_before_its_input)],
)
async def test_input_for_one_boot_never_reaches_the_next(
    paused: bool, libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with pasting(mux.socket, guest.name) as one:
        for boot in range(1, count(3, 11)):
            if paused:
                await guest.suspend()
            else:
                await one.type(STOP_READING, boot)
            await one.type(PASTE[:65000], boot)
            with takes_ptys(libvirtd):  # its PTY's number is another's at once
                await guest.destroy()
                assert (await one.until_ended(boot)).cause is Cause.GUEST_DESTROYED
            await one.until_decided(boot)
            assert one.fate(boot).cause is Cause.GUEST_DESTROYED
            before = len(one.output)
            await guest.start(paused=True)
            await one.until_attached(boot + 1)
            rejected = one.fate(boot).rejected
            one.put(b"late", boot)  # it still means the former boot
            await one.until_decided(boot, rejected=rejected + 4)
            await guest.resume()
            await one.until_output(BANNER)
            await one.type(b"=new=", boot + 1)
            await one.until_output(b"=new=")
            assert one.output[before:] == BANNER + b"=new="
