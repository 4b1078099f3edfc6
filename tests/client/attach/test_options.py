"""What `attach` asks the daemon for, by its options."""

from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import ScriptedDaemon, playing, reason
from virtmux.messages import Attach, Lag, Refused
from virtmux.reasons import Cause
from virtmux_cli.attach.command import parse_replay

MIB = 1 << 20


async def asked_for(daemon: ScriptedDaemon, *options: str) -> Attach:
    asked: list[Attach] = []

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked.append(await peer.expect(Attach))
        peer.say(Refused(asked[0].id, reason(Cause.ACCESS_DENIED)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", *options, "web1") as command:
        status, _, err = await command.finish()
        assert status == 4, err
    return asked[0]


@pytest.mark.parametrize(
    ("options", "replay", "lag"),
    [
        ([], None, Lag(MIB, 5, "gap")),
        (["--replay", "64K"], "bytes:65536", Lag(MIB, 5, "gap")),
        (["--replay=all", "--too-slow=wait"], "all", None),
        (["--replay=none", "--too-slow=leave", "--max-lag=2M", "--max-age=1m30s"], "none", Lag(2 * MIB, 90, "leave")),
        (["--max-age=0"], None, Lag(MIB, 0.001, "gap")),
        (["--max-age=99999999h"], None, Lag(MIB, 1e9, "gap")),
    ],
)
async def test_replay_and_lag_are_asked_for(
    daemon: ScriptedDaemon, options: list[str], replay: str | None, lag: Lag | None
) -> None:
    asked = await asked_for(daemon, *options)

    assert (asked.replay, asked.lag) == (replay, lag)
    assert (asked.hold, asked.timed) == (True, False)


@pytest.mark.parametrize(
    "option",
    [
        "--replay=much",
        "--replay=bytes:5",
        "--replay=-1",
        "--replay=999999999999999G",
        "--max-lag=1",
        "--max-lag=many",
        "--max-lag=999999999999999G",
        "--max-age=soon",
        "--too-slow=never",
    ],
)
async def test_what_cannot_be_meant_is_a_usage_error(tmp_path: Path, option: str) -> None:
    async with running(tmp_path / "nobody", "attach", option, "web1") as command:
        status, out, err = await command.finish()

    assert (status, out) == (2, b"")
    assert "Traceback" not in err


def test_a_replay_is_a_size_or_a_word() -> None:
    assert [parse_replay(text) for text in ("all", "boot", "none", "0", "10", "1M")] == [
        "all",
        "boot",
        "none",
        "bytes:0",
        "bytes:10",
        "bytes:1048576",
    ]
