"""`virtmux console` as a process."""

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import ScriptedDaemon, hypervisor_info, playing
from virtmux.messages import Done, Hypervisor, ListConsoles


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"LIBVIRT_DEFAULT_URI": "test:///a"}, "test:///a"),
        ({"LIBVIRT_DEFAULT_URI": "test:///a", "VIRSH_DEFAULT_CONNECT_URI": "test:///b"}, "test:///b"),
    ],
)
async def test_the_hypervisor_that_the_environment_names_for_virsh_is_meant(
    daemon: ScriptedDaemon, variables: dict[str, str], named: str
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(ListConsoles)
        peer.say(Hypervisor(asked.id, hypervisor_info()), Done(asked.id))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "console", "web1", variables=variables) as command:
        status, _, said = await command.finish()
    assert status == 1
    assert f"virtmuxd serves {hypervisor_info().uri}, and not {named}" in said
