"""Configuration files: what they can say, what is said where they cannot be used, and how several go together."""

from pathlib import Path

import pytest

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.files import drop_ins, load
from virtmuxd.config.schema import (
    AccessRule,
    Config,
    ConsoleRule,
    HypervisorRule,
    Kept,
    MetricRules,
)
from virtmuxd.core.access import Right
from virtmuxd.core.events import Policy
from virtmuxd.core.limits import LimitRules


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "virtmuxd.toml"
    path.write_text(text)
    return load([path])


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
    ("[limits]\nclients = 7\nidle = 1.5", "limits", LimitRules(clients=7, idle=1.5)),
    ("[metrics]\nper_console = false", "metrics", MetricRules(per_console=False)),
    (
        '[[access]]\ngroup = ["ci"]\nconsole = ["ci-*"]\nallow = ["watch", "type"]',
        "access",
        (AccessRule(group=("ci",), console=("ci-*",), allow=(Right.WATCH, Right.TYPE)),),
    ),
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
        ("linger = inf", "linger: expected a number <= .*, got inf"),
        ("call_deadline = nan", "call_deadline"),
        ("[limits]\nidle = inf", "limits.idle"),
        ("ring = 100", "ring"),
        ("ring = 1.5", "ring"),
        ('ring = "1M"', "ring: expected a whole number, got '1M'"),
        ("ring = true", "ring: expected a whole number, got true"),
        ('[[console]]\nmatch = "a"\nring = ""', r"console\[1\].ring: expected a whole number, got ''"),
        ('domain = "ci-*"', "domain: expected a list, got 'ci-\\*'"),
        ("[limits]\ninput_window = 100", "limits.input_window: expected a whole number >= 16384, got 100"),
        ("[limits]\ninput_window = 65537", "limits.input_window"),
        ("[limits]\nclients = 0", "limits.clients: expected a whole number >= 1, got 0"),
        ("[limits]\nclient = 5", r"limits.client: there is no such key; did you mean limits.clients\?"),
        ("limits = 5", "limits: expected a table, got 5"),
        ('[metrics]\nper_console = "yes"', "metrics.per_console: expected true or false, got 'yes'"),
        ('[[access]]\nuser = ["a"]', r"access\[1\].allow: this key must be there"),
        ('[[access]]\nallow = ["see"]', r"access\[1\].allow\[1\]: expected one of watch, history, .*, got 'see'"),
        ('[[access]]\nallow = []\n[[access]]\nallow = []\nuser = "a"', r"access\[2\].user: expected a list, got 'a'"),
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
        (f"linger = {'1' * 5000}", "not TOML"),
        ('"a\\nb" = 1', r"'a\\nb': there is no such key"),
        (f"[limits]\ninput_rate = {1 << 40}", "limits.input_rate"),
    ],
)
def test_what_cannot_be_said_is_answered_with_the_file_and_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        loaded(tmp_path, text)

    assert str(tmp_path / "virtmuxd.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file or directory"):
        load([tmp_path / "nowhere.toml"])


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "virtmuxd.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=r"virtmuxd\.toml"):
        load([path])


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    main, more = tmp_path / "virtmuxd.toml", tmp_path / "more.toml"
    main.write_text('ring = 1\nlinger = "x"\n')
    more.write_text("[limits]\nidel = 5\n")

    with pytest.raises(ConfigError) as error:
        load([main, more])

    assert str(error.value).splitlines() == [
        f"{main}: linger: expected a number, got 'x'",
        f"{main}: ring: expected a whole number >= 16384, got 1",
        f"{more}: limits.idel: there is no such key; did you mean limits.idle?",
    ]


def test_a_file_that_is_no_toml_does_not_hide_what_is_wrong_with_the_others(tmp_path: Path) -> None:
    texts = ("ring = 1", "= 1", "linger = 1")
    paths = [tmp_path / f"{number}.toml" for number in range(4)]
    for path, text in zip(paths, texts, strict=False):
        path.write_text(text)
    paths[3].mkdir()

    with pytest.raises(ConfigError) as error:
        load(paths, lambda config: ["linger: of the other look"] if config.linger == 1 else [])

    assert [line.partition(":")[::2] for line in sorted(str(error.value).splitlines())] == [
        (str(paths[0]), " ring: expected a whole number >= 16384, got 1"),
        (str(paths[1]), " not TOML: Invalid statement (at line 1, column 1)"),
        (str(paths[2]), " linger: of the other look"),
        (str(paths[3]), " no file"),
    ]


def test_a_key_that_stands_in_a_table_is_looked_for_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"idle: there is no such key; did you mean limits\.idle\?"):
        loaded(tmp_path, "idle = 1")


def test_a_key_like_no_other_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metrics.zzz: there is no such key; there are per_console"):
        loaded(tmp_path, "[metrics]\nzzz = 1")


def test_a_long_value_is_not_repeated_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, f'ring = "{"x" * 10000}"')

    assert len(str(error.value)) < 200 + len(str(tmp_path))


def test_drop_ins_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    directory = tmp_path / "virtmuxd.toml.d"
    directory.mkdir()
    for name in ("20-b.toml", "10-a.toml", "30-c.toml.bak", "40-d"):
        (directory / name).touch()
    (directory / ".#10-a.toml").symlink_to("an editor's lock")

    assert [path.name for path in drop_ins(tmp_path / "virtmuxd.toml")] == ["10-a.toml", "20-b.toml"]
    assert drop_ins(tmp_path / "other.toml") == []


def test_drop_ins_that_cannot_be_looked_for_are_an_error_and_none_is_left_out_in_silence(tmp_path: Path) -> None:
    """One may have been to deny something."""
    (tmp_path / "a.toml.d").touch()
    with pytest.raises(ConfigError, match=r"a\.toml\.d: Not a directory"):
        drop_ins(tmp_path / "a.toml")

    directory = tmp_path / "b.toml.d"
    directory.mkdir()
    (directory / "1.toml").symlink_to("nowhere")
    (directory / "2.toml").mkdir()
    with pytest.raises(ConfigError) as error:
        load(drop_ins(tmp_path / "b.toml"))
    assert [line.rpartition(": ")[2] for line in str(error.value).splitlines()] == [
        "No such file or directory",
        "no file",
    ]


def test_a_later_file_wins_and_leaves_what_it_does_not_say(tmp_path: Path) -> None:
    texts = (
        'linger = 1\nring = 20000\nuri = ["a:///"]\n[limits]\nclients = 1\nidle = 1',
        'linger = 2\nuri = ["b:///"]\n[limits]\nclients = 2',
    )
    paths = [tmp_path / f"{number}.toml" for number in range(2)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)

    config = load(paths)

    assert (config.linger, config.ring, config.uri) == (2, 20000, ("b:///",))
    assert config.limits == LimitRules(clients=2, idle=1)


def test_rules_of_a_later_file_stand_first_and_hypervisors_are_those_of_all(tmp_path: Path) -> None:
    rule = '[[console]]\nmatch = "{0}"\n[[access]]\nuser = ["{0}"]\nallow = []\n[[hypervisor]]\nuri = "{0}:///"\n'
    paths = [tmp_path / f"{name}.toml" for name in "ab"]
    for path in paths:
        path.write_text(rule.format(path.stem) + rule.format(path.stem * 2))

    config = load(paths)

    assert [each.match for each in config.console] == ["b", "bb", "a", "aa"]
    assert [each.user for each in config.access] == [("b",), ("bb",), ("a",), ("aa",)]
    assert [each.uri for each in config.hypervisor] == ["a:///", "aa:///", "b:///", "bb:///"]
