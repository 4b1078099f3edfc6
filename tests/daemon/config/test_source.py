"""The configuration from all that says something of it, as it is read at the start and again at each reload."""

from pathlib import Path
from typing import Any

import pytest

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.files import load
from virtmuxd.config.instance import Instance
from virtmuxd.config.schema import AccessRule, Config, ConsoleRule
from virtmuxd.config.source import Source, printed
from virtmuxd.core.access import Identity, Right
from virtmuxd.core.limits import LimitRules


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a user's own configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "virtmux").mkdir()
    return tmp_path / "virtmux"


def session(**options: Any) -> Source:
    return Source(Instance.SESSION, None, options)


def test_without_any_file_the_defaults_are_used(home: Path) -> None:
    assert session().files == []
    assert session().read().config.uri == ("qemu:///session",)


def test_drop_ins_add_to_the_file_and_the_command_line_to_both(home: Path) -> None:
    (home / "virtmuxd.toml").write_text('linger = 1\nring = 16384\nlog_level = "error"')
    (home / "virtmuxd.toml.d").mkdir()
    (home / "virtmuxd.toml.d" / "a.toml").write_text("ring = 20000\n[limits]\nclients = 3")
    source = session(log_level="debug")

    config = source.read().config

    assert [path.name for path in source.files] == ["virtmuxd.toml", "a.toml"]
    assert (config.linger, config.ring, config.limits.clients, config.log_level) == (1, 20000, 3, "debug")


def test_drop_ins_need_no_file_beside_them(home: Path) -> None:
    (home / "virtmuxd.toml.d").mkdir()
    (home / "virtmuxd.toml.d" / "a.toml").write_text("linger = 2")

    assert session().read().config.linger == 2


def test_a_password_in_a_uri_is_refused_and_not_repeated(home: Path) -> None:
    at = '[[hypervisor]]\nuri = "qemu+ssh://root@a/system"\n[[hypervisor]]\nuri = "qemu+tcp://root:s3cret@b/system"'
    (home / "virtmuxd.toml").write_text(f'uri = ["esx://root:s3cret@c/", "qemu://[::1/x:y@z"]\n{at}')

    with pytest.raises(ConfigError) as refused:
        session().read()

    said = str(refused.value)
    assert [line.split(": ")[1] for line in said.splitlines()] == ["uri[1]", "hypervisor[2].uri"]
    assert "s3cret" not in said


def test_a_file_that_is_named_must_be_there(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file or directory"):
        Source(Instance.SESSION, home / "nowhere.toml", {}).read()


def test_each_reading_finds_what_the_files_say_now(home: Path) -> None:
    source = session()
    for linger in (1, 2):
        (home / "virtmuxd.toml").write_text(f"linger = {linger}")
        assert source.read().config.linger == linger


def test_the_people_that_rules_name_are_found(home: Path) -> None:
    (home / "virtmuxd.toml").write_text('[[access]]\nuser = ["4711"]\nallow = ["watch"]')

    who = session().read().access.of(Identity(4711, frozenset()))

    assert who.at("web1", "serial0") == {Right.WATCH}


def test_people_that_do_not_exist_are_told_with_the_file_that_names_them(home: Path) -> None:
    (home / "virtmuxd.toml").write_text("linger = 1")
    (home / "virtmuxd.toml.d").mkdir()
    (home / "virtmuxd.toml.d" / "a.toml").write_text('[[access]]\nuser = ["no such user"]\nallow = []')

    with pytest.raises(ConfigError, match=r"a\.toml: access\[1\]\.user: there is no user 'no such user'"):
        session().read()


def test_what_is_printed_is_a_configuration_that_says_the_same(tmp_path: Path) -> None:
    config = Config(
        uri=("a:///",),
        linger=2,
        console=(ConsoleRule(match="ci-*", ring=20000),),
        access=(AccessRule(group=("ci",), allow=(Right.WATCH, Right.TYPE)),),
        limits=LimitRules(clients=5),
    )
    config = Instance.SYSTEM.settle(config, {})
    path = tmp_path / "virtmuxd.toml"
    path.write_text(printed(config))

    assert load([path]) == config
