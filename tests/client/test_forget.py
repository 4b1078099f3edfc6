"""`virtmux forget`, as a process."""

from pathlib import Path

import pytest

from tests.harness.command import finished
from tests.harness.scripted_daemon import ScriptedDaemon, playing, reason
from virtmux.messages import Done, Forget, Refused
from virtmux.reasons import Cause


async def test_a_console_is_forgotten_without_a_word(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Forget)
        assert (asked.domain, asked.device, asked.uri) == ("web1", None, "qemu:///system")
        peer.say(Done(asked.id))

    async with playing(daemon, script):
        assert await finished(daemon.path, "forget", "--uri", "qemu:///system", "web1") == (0, b"", "")


async def test_what_stands_behind_a_colon_is_a_device_where_no_domain_is_called_so(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Forget)
        assert (asked.domain, asked.device) == ("web1:serial0", None)
        peer.say(Refused(asked.id, reason(Cause.CONSOLE_MISSING)))
        asked = await peer.expect(Forget)
        assert (asked.domain, asked.device) == ("web1", "serial0")
        peer.say(Done(asked.id))

    async with playing(daemon, script):
        assert await finished(daemon.path, "forget", "web1:serial0") == (0, b"", "")


@pytest.mark.parametrize(("cause", "status"), [(Cause.CONSOLE_MISSING, 3), (Cause.ACCESS_DENIED, 4)])
async def test_a_refusal_has_its_status_and_says_why(daemon: ScriptedDaemon, cause: Cause, status: int) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Refused((await peer.expect(Forget)).id, reason(cause, text="because")))

    async with playing(daemon, script):
        left, out, err = await finished(daemon.path, "forget", "web1")

    assert (left, out) == (status, b"")
    assert "because" in err


async def test_no_daemon_is_no_forgetting(tmp_path: Path) -> None:
    status, _, err = await finished(tmp_path / "nobody", "forget", "web1")

    assert status == 5
    assert err
