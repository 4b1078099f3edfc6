"""What the commands print as JSON about real guests, held against the schemas."""

from tests.harness.follower import boot, follow
from tests.harness.guest import BANNER
from tests.harness.json_schema import check
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest


async def test_every_command_keeps_to_its_schema(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, "test:///no-such-file")
    async with follow(mux.socket, guest.name) as watcher:
        await boot(guest, watcher, says=BANNER)
        for command, *more in (
            ("send", "--json", guest.name, "typed"),
            ("expect", "--json", guest.name, "read(y)", "--from", "0"),
            ("wait", "--json", guest.name, "attached"),
            ("screen", "--json", guest.name),
        ):
            status, output, talk = await mux.run_client(command, *more)
            assert status == 0, talk
            assert len(check(command, output)) == 1
            assert not talk or check("attach", talk.encode())
        await guest.suspend()
        await guest.resume()
        await guest.destroy()
        await watcher.until_ended()

    printed: dict[str, bytes] = {}
    for arguments in (
        ("list", "--json"),
        ("status", "--json"),
        ("who", "--json"),
        ("events", "--since", "today", "--json"),
        ("log", "-o", "json", guest.name),
    ):
        status, printed[arguments[0]], talk = await mux.run_client(*arguments)
        assert (status, talk) == (0, "")
    status, printed["doctor"], _ = await mux.run_client("doctor", "--json", guest.name)
    assert status == 9
    status, _, talk = await mux.run_client("attach", "--json", "--replay", "all", guest.name)
    assert status == 9
    printed["attach"] = talk.encode()

    lines = {command: check(command, output) for command, output in printed.items()}
    assert {line["type"] for line in lines["list"]} == {"hypervisor", "console"}
    assert {line["type"] for line in lines["who"]} == {"client"}
    assert {line["type"] for line in lines["doctor"]} == {"finding"}
    assert {line["type"] for line in lines["status"]} == {"daemon", "hypervisor"}
    assert {"attached", "note", "ended"} <= {line["event"] for line in lines["events"]}
    assert {"history", "output", "mark"} <= {line["type"] for line in lines["log"]}
    assert {"guest-destroyed", "guest-not-running"} <= {line.get("cause") for line in lines["attach"]}
