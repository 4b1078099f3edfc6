"""What the command line says of the configuration, and that it wins."""

from typing import Any

import pytest

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.options import overridden
from virtmuxd.config.schema import Config, ConsoleRule, HypervisorRule
from virtmuxd.core.events import Policy


def test_uris_of_the_command_line_are_served_and_no_others_with_the_settings_of_the_file() -> None:
    config = Config(uri=("a:///",), hypervisor=(HypervisorRule(uri="b:///", pool=7), HypervisorRule(uri="c:///")))

    given = overridden(config, {"uri": ("d:///", "b:///")})

    assert given.uri == ("d:///", "b:///")
    assert [each.uri for each in given.hypervisor] == ["b:///"]
    assert given.pool_of("b:///") == 7


def test_policies_of_the_command_line_come_before_those_of_the_file() -> None:
    config = Config(attach=Policy.NEVER, console=(ConsoleRule(match="ci-*", attach=Policy.ALWAYS, linger=1),))

    given = overridden(config, {"attach": ("ci-1=never", "a=b=always")})
    assert given.policy_of("ci-1", "serial0") is Policy.NEVER
    assert given.policy_of("ci-2", "serial0") is Policy.ALWAYS
    assert given.policy_of("a=b", "serial0") is Policy.ALWAYS
    assert given.policy_of("web1", "serial0") is Policy.NEVER
    assert given.linger_of("ci-1", "serial0") == 1


def test_a_policy_without_a_glob_is_for_all_that_no_other_of_the_command_line_is_for() -> None:
    config = Config(console=(ConsoleRule(match="ci-*", attach=Policy.NEVER),))

    for options in (("always", "db*=never"), ("db*=never", "always")):
        given = overridden(config, {"attach": options})
        assert given.policy_of("ci-1", "serial0") is Policy.ALWAYS
        assert given.policy_of("db1", "serial0") is Policy.NEVER


@pytest.mark.parametrize("text", ["sometimes", "web1=", "always=web1", "=", ""])
def test_what_is_no_policy_is_answered_with_those_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match="on-demand, always, never") as error:
        overridden(Config(), {"attach": (text,)})

    assert f"--attach {text}" in str(error.value)


def test_what_no_option_says_stays_as_it_is() -> None:
    config = Config(linger=1, attach=Policy.ALWAYS, hypervisor=(HypervisorRule(uri="a:///", pool=1),))

    assert overridden(config, {"uri": (), "attach": (), "socket": None, "domain": (), "log_level": None}) == config
    assert overridden(config, {"log_level": "debug"}).log_level == "debug"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uri": ("qemu:///\udcff",)}, "--uri: not UTF-8"),
        ({"uri": ("",)}, r"^--uri\[1\]: expected text of length >= 1, got ''$"),
        ({"socket": ""}, "^--socket: expected text of length >= 1, got ''$"),
        ({"uri": ("qemu:///a", "qemu+ssh://root:s3cret@b/c")}, r"^--uri\[2\]: a password must not stand in a URI"),
        ({"attach": ("=never",)}, "--attach =never: the glob is empty"),
    ],
)
def test_options_that_say_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        overridden(Config(), options)
