"""Limits of a daemon that runs, set by a reload: what is given live, and who is idle."""

from itertools import pairwise

from tests.harness.flood import flood, flooded
from tests.harness.follower import boot, follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Gap, Output

RATE = 20_000
PRINTED = 300_000


async def test_what_comes_too_fast_is_a_gap_to_who_watches_and_is_there_for_who_looks_back(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client, says=BANNER)
        await mux.reload(f"[limits]\ndelivery_rate = {RATE}\n")

        await flood(client, PRINTED)

        gaps = [record for record in client.records if isinstance(record, Gap)]
        assert gaps
        assert all(gap.why is not None and "limits.delivery_rate" in gap.why for gap in gaps)
        ranges = sorted([*client.offsets, *client.gaps])
        assert all(before[1] == behind[0] for before, behind in pairwise(ranges))
        assert (ranges[0][0], ranges[-1][1]) == (0, client.console.position.offset)

        async with follow(mux.socket, guest.name, replay="all") as looking_back:
            await looking_back.until_offset(client.console.position.offset)
            assert looking_back.output == flooded(looking_back.output)
            assert not looking_back.gaps
            kept = looking_back.output
        for record in client.records:
            if isinstance(record, Output):
                assert record.data == kept[record.offset :][: len(record.data)]

        await mux.reload("")
        before = len(client.gaps)
        await flood(client, PRINTED)
        assert len(client.gaps) == before


async def test_who_is_idle_is_sent_away_once_a_limit_says_so(libvirtd: Libvirtd, daemon: StartDaemon) -> None:
    mux = await daemon(libvirtd.uri)
    idle = await mux.client("events")
    assert idle.stderr is not None
    await mux.until_logged("client connected")

    await mux.reload("[limits]\nidle = 0.5\n")

    _, error = await idle.communicate()
    assert idle.returncode == 12
    assert b"limits.idle" in error
