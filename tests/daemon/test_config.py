"""What can be configured, and what is said where it cannot."""

import grp
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from virtmuxd.config import (
    Config,
    ConfigError,
    ConsoleRule,
    HypervisorRule,
    Kept,
    default_socket,
    default_uri,
    is_remote,
    load,
    read_only_socket,
)
from virtmuxd.core.events import Policy


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "virtmuxd.toml"
    path.write_text(text)
    return load(path)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, "# nothing") == Config()


_FIELDS: list[tuple[str, str, object]] = [
    ('uri = ["qemu:///system", "lxc:///"]', "uri", ("qemu:///system", "lxc:///")),
    (
        '[[hypervisor]]\nuri = "a:///"\n[[hypervisor]]\nuri = "b:///"\npool = 0',
        "hypervisor",
        (HypervisorRule(uri="a:///"), HypervisorRule(uri="b:///", pool=0)),
    ),
    (
        '[[console]]\nmatch = "ci-*"\nattach = "always"\n[[console]]\nmatch = "*:serial1"\nlinger = 0',
        "console",
        (ConsoleRule(match="ci-*", attach=Policy.ALWAYS), ConsoleRule(match="*:serial1", linger=0)),
    ),
    ('socket = "/run/x/y.sock"', "socket", "/run/x/y.sock"),
    ('attach = "always"', "attach", Policy.ALWAYS),
    ('domain = ["web*"]', "domain", ("web*",)),
    ('log_level = "debug"', "log_level", "debug"),
    ("linger = 0", "linger", 0),
    ("linger = 1.5", "linger", 1.5),
    ("ring = 16384", "ring", 16384),
    ("input_window = 16384", "input_window", 16384),
    ("call_deadline = 3", "call_deadline", 3),
    ("keepalive_interval = 1", "keepalive_interval", 1),
    ("keepalive_count = 1", "keepalive_count", 1),
    ("workers = 1", "workers", 1),
    ("probe_after = 0.5", "probe_after", 0.5),
    ("fence_deadline = 2", "fence_deadline", 2),
    ("fence_patience = 10", "fence_patience", 10),
    ("client_requests = 30", "client_requests", 30),
    ("pool = 0", "pool", 0),
    ('journal = "memory"', "journal", Kept.MEMORY),
    ('journal_directory = "/srv/log"', "journal_directory", "/srv/log"),
    ("journal_size = 65536", "journal_size", 65536),
    ("journal_keep = 0", "journal_keep", 0),
    ("journal_total = 1000000", "journal_total", 1000000),
    ("journal_days = 0.5", "journal_days", 0.5),
    ("journal_free = 0", "journal_free", 0.0),
    ('journal_sync = "batch"', "journal_sync", "batch"),
    ('log_group = "adm"', "log_group", "adm"),
]


@pytest.mark.parametrize(("text", "name", "value"), _FIELDS)
def test_each_field_can_be_set(tmp_path: Path, text: str, name: str, value: object) -> None:
    config = loaded(tmp_path, text)

    assert getattr(config, name) == value


def test_every_field_is_tried_above() -> None:
    assert {name for _, name, _ in _FIELDS} == set(Config.__struct_fields__)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "colour"),
        ('uri = "qemu:///system"', "uri"),
        ('uri = [""]', "uri"),
        ("socket = 5", "socket"),
        ('socket = ""', "socket"),
        ('attach = "sometimes"', "attach"),
        ("domain = [1]", "domain"),
        ("domain = []", "domain"),
        ('log_level = "loud"', "log_level"),
        ("linger = -1", "linger"),
        ("ring = 100", "ring"),
        ("ring = 1.5", "ring"),
        ("input_window = 100", "input_window"),
        ("input_window = 65537", "input_window"),
        ("call_deadline = 0", "call_deadline"),
        ("keepalive_interval = 0", "keepalive_interval"),
        ("keepalive_interval = 3000000000", "keepalive_interval"),
        ("keepalive_count = 1.5", "keepalive_count"),
        ("workers = 0", "workers"),
        ("pool = -1", "pool"),
        ("probe_after = 0", "probe_after"),
        ("fence_deadline = 0", "fence_deadline"),
        ("client_requests = 4", "client_requests"),
        ('journal = "tape"', "journal"),
        ("journal_size = 65535", "journal_size"),
        ("journal_keep = -1", "journal_keep"),
        ("journal_total = 1", "journal_total"),
        ("journal_days = 0", "journal_days"),
        ("journal_free = 100", "journal_free"),
        ('journal_sync = "sometimes"', "journal_sync"),
        ('log_group = ""', "log_group"),
        ('[[console]]\nmatch = "a"\njournal = "tape"', r"console\[.*\].journal"),
        ('[[console]]\nmatch = "a"\nring = 1', r"console\[.*\].ring"),
        ("[[hypervisor]]\npool = 1", "uri"),
        ('[[hypervisor]]\nuri = "a:///"\npool = 1.5', r"hypervisor\[.*\].pool"),
        ('[[hypervisor]]\nuri = "a:///"\ncolour = 1', "colour"),
        ('[[console]]\nattach = "always"', "match"),
        ('[[console]]\nmatch = "a"\nattach = "sometimes"', r"console\[.*\].attach"),
        ('[[console]]\nmatch = "a"\nlinger = -1', "linger"),
        ('[[console]]\nmatch = "a"\npool = 1', "pool"),
        ("linger = x", "line 1"),
    ],
)
def test_what_cannot_be_said_is_answered_with_the_file_and_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        loaded(tmp_path, text)

    assert str(tmp_path / "virtmuxd.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file or directory"):
        load(tmp_path / "nowhere.toml")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "virtmuxd.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=r"virtmuxd\.toml"):
        load(path)


def test_what_is_left_open_is_settled_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_uri() == "qemu:///system"
    assert default_socket() == Path("/run/virtmux/virtmux.sock")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    settled = Config().settled()
    assert (settled.uri, settled.socket) == (("qemu:///session",), "/run/user/7/virtmux/virtmux.sock")


def test_the_journal_lies_where_the_system_or_the_user_keeps_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Config().settled().journal_directory == "/var/log/virtmux"

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    assert Config().settled().journal_directory == "/home/me/state/virtmux"


def test_ring_and_journal_can_be_said_for_some_consoles(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        [[console]]
        match = "secret*"
        journal = "none"
        [[console]]
        match = "*:serial1"
        ring = 65536
        """,
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


def test_what_is_said_is_not_settled_anew() -> None:
    config = Config(uri=("lxc:///",), socket="/x/y.sock", journal_directory="/z")

    assert config.settled() == config


def test_the_read_only_socket_stands_beside_the_other() -> None:
    assert read_only_socket(Path("/run/virtmux/virtmux.sock")) == Path("/run/virtmux/virtmux-ro.sock")


# Hypervisors.


def test_hypervisors_with_settings_stand_beside_those_without() -> None:
    config = Config(uri=("a:///", "b:///"), hypervisor=(HypervisorRule(uri="b:///"), HypervisorRule(uri="c:///")))

    assert config.settled().uri == ("a:///", "b:///", "c:///")


def test_uris_of_the_command_line_are_served_and_no_others_with_the_settings_of_the_file() -> None:
    config = Config(uri=("a:///",), hypervisor=(HypervisorRule(uri="b:///", pool=7), HypervisorRule(uri="c:///")))

    given = config.overridden({"uri": ("d:///", "b:///")}).settled()

    assert given.uri == ("d:///", "b:///")
    assert given.pool_of("b:///") == 7


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


# Policies.


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


def test_policies_of_the_command_line_come_before_those_of_the_file() -> None:
    config = Config(attach=Policy.NEVER, console=(ConsoleRule(match="ci-*", attach=Policy.ALWAYS, linger=1),))

    given = config.overridden({"attach": ("ci-1=never", "a=b=always")})
    assert given.policy_of("ci-1", "serial0") is Policy.NEVER
    assert given.policy_of("ci-2", "serial0") is Policy.ALWAYS
    assert given.policy_of("a=b", "serial0") is Policy.ALWAYS
    assert given.policy_of("web1", "serial0") is Policy.NEVER
    assert given.linger_of("ci-1", "serial0") == 1


def test_a_policy_without_a_glob_is_for_all_that_no_other_of_the_command_line_is_for() -> None:
    config = Config(console=(ConsoleRule(match="ci-*", attach=Policy.NEVER),))

    for options in (("always", "db*=never"), ("db*=never", "always")):
        given = config.overridden({"attach": options})
        assert given.policy_of("ci-1", "serial0") is Policy.ALWAYS
        assert given.policy_of("db1", "serial0") is Policy.NEVER


@pytest.mark.parametrize("text", ["sometimes", "web1=", "always=web1", "=", ""])
def test_what_is_no_policy_is_answered_with_those_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match="on-demand, always, never") as error:
        Config().overridden({"attach": (text,)})

    assert f"--attach {text}" in str(error.value)


def test_what_no_option_says_stays_as_it_is() -> None:
    config = Config(linger=1, attach=Policy.ALWAYS, hypervisor=(HypervisorRule(uri="a:///", pool=1),))

    assert config.overridden({"uri": (), "attach": (), "socket": None, "domain": (), "log_level": None}) == config
    assert config.overridden({"log_level": "debug"}).log_level == "debug"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uri": ("qemu:///\udcff",)}, "--uri: not UTF-8"),
        ({"uri": ("",)}, "uri"),
        ({"socket": ""}, "socket"),
        ({"attach": ("=never",)}, "--attach =never: the glob is empty"),
    ],
)
def test_options_that_say_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config().overridden(options)


def test_a_group_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon uses it on its loop, and a look-up may ask the network."""
    asked: list[str] = []
    name = uuid4().hex

    def look_up(group: str) -> SimpleNamespace:
        asked.append(group)
        return SimpleNamespace(gr_gid=7)

    monkeypatch.setattr(grp, "getgrnam", look_up)
    config = Config(log_group=name).settled()

    assert (config.group_id, asked) == (7, [name])
