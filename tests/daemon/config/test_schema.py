"""What a configuration says of a hypervisor and of a console."""

import pytest

from virtmuxd.config.schema import Config, ConsoleRule, HypervisorRule, Kept, is_remote
from virtmuxd.core.events import Policy


def test_ring_and_journal_can_be_said_for_some_consoles() -> None:
    config = Config(
        console=(ConsoleRule(match="secret*", journal=Kept.NONE), ConsoleRule(match="*:serial1", ring=65536))
    )

    assert [config.journal_of(*each) for each in (("secret1", "serial0"), ("web1", "serial0"))] == [
        Kept.NONE,
        Kept.DISK,
    ]
    assert [config.ring_of("web1", device) for device in ("serial0", "serial1")] == [1048576, 65536]
    assert config.writes_to_disk


def test_where_nothing_is_to_be_kept_on_the_disk_it_is_not_touched() -> None:
    rule = ConsoleRule(match="a", journal=Kept.NONE)
    assert not Config(journal=Kept.MEMORY, console=(rule,)).writes_to_disk


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("qemu:///system", False),
        ("qemu+unix:///system?socket=/x", False),
        ("lxc:///", False),
        ("test:///default", False),
        ("qemu+ssh:///system", True),
        ("qemu+ssh://root@there/system", True),
        ("qemu+libssh://there/system", True),
        ("qemu+libssh2://there/system", True),
        ("qemu+tls://there/system", True),
        ("qemu+tcp://there/system", True),
        ("qemu+ext:///system?command=/x", True),
        ("qemu://there/system", True),
        ("esx://there/", True),
        ("", False),
        ("qemu", False),
        ("qemu://[there/system", False),
    ],
)
def test_a_remote_hypervisor_is_known_by_its_uri_and_has_a_pool(uri: str, remote: bool) -> None:
    assert is_remote(uri) is remote
    assert Config().pool_of(uri) == (4 if remote else 0)
    assert Config(pool=2).pool_of(uri) == (2 if remote else 0)


@pytest.mark.parametrize("pool", [0, 3])
@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+ssh://there/system"])
def test_what_is_said_of_a_hypervisor_wins(uri: str, pool: int) -> None:
    assert Config(hypervisor=(HypervisorRule(uri=uri, pool=pool),)).pool_of(uri) == pool
    assert Config(hypervisor=(HypervisorRule(uri="other:///", pool=9),)).pool_of("qemu:///system") == 0


@pytest.mark.parametrize(
    ("match", "domain", "device", "concerned"),
    [
        ("ci-*", "ci-7", "serial0", True),
        ("ci-*", "web1", "serial0", False),
        ("web*:serial1", "web1", "serial1", True),
        ("web*:serial1", "web1", "serial0", False),
        ("web1", "web1", "serial1", True),
        ("web1", "WEB1", "serial1", False),
        ("a:b", "a:b", "serial0", True),
        ("a:b", "a", "b", True),
        ("a:b:serial0", "a:b", "serial0", True),
        ("a:b:serial0", "a:b", "serial1", False),
        ("*:serial1", "a:b", "serial1", True),
        ("[ab]?", "b1", "serial0", True),
        ("*", "anything", "serial0", True),
        ("", "anything", "serial0", False),
    ],
)
def test_a_rule_is_for_domains_or_for_devices_of_them(match: str, domain: str, device: str, concerned: bool) -> None:
    assert ConsoleRule(match=match).concerns(domain, device) is concerned


def test_the_first_rule_that_has_a_key_gives_it() -> None:
    config = Config(
        linger=5,
        console=(
            ConsoleRule(match="ci-1", linger=1),
            ConsoleRule(match="ci-*", attach=Policy.ALWAYS, linger=2),
            ConsoleRule(match="*:serial1", attach=Policy.NEVER),
        ),
    )

    def of(domain: str, device: str) -> tuple[Policy, float]:
        return config.policy_of(domain, device), config.linger_of(domain, device)

    assert of("ci-1", "serial0") == (Policy.ALWAYS, 1)
    assert of("ci-2", "serial1") == (Policy.ALWAYS, 2)
    assert of("web1", "serial1") == (Policy.NEVER, 5)
    assert of("web1", "serial0") == (Policy.ON_DEMAND, 5)
