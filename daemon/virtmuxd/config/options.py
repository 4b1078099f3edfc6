"""What the command line says of the configuration; it wins over the files."""

from typing import Any

import msgspec

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.files import faults
from virtmuxd.config.schema import Config, passwords
from virtmuxd.core.events import Policy


def overridden(config: Config, options: dict[str, Any]) -> Config:
    """As the command line wants it: `options` by the names of the fields, `attach` as a list of [GLOB=]POLICY.

    A policy without a glob is for all consoles that no other of the command line is for. URIs that are given are
    served, and no others.

    Raises:
        ConfigError: an option cannot be used.
    """
    fields = msgspec.to_builtins(config) | {name: value for name, value in options.items() if value not in (None, ())}
    if options.get("uri"):
        fields["hypervisor"] = [each for each in fields["hypervisor"] if each["uri"] in options["uri"]]
    fields["console"] = [*_rules(options.get("attach", ())), *fields["console"]]
    fields["attach"] = config.attach
    if not all(_is_unicode(uri) for uri in options.get("uri", ())):
        raise ConfigError("--uri: not UTF-8")
    wrong = list(faults(fields, Config))
    if not wrong:
        config = msgspec.convert(fields, Config)
        wrong = list(passwords(config))
    if wrong:
        raise ConfigError("\n".join(f"--{fault.replace('_', '-', 1)}" for fault in wrong))
    return config


def _rules(attach: tuple[str, ...]) -> list[dict[str, str]]:
    """The rules that `--attach` makes: those with a glob first.

    Raises:
        ConfigError: what is behind the last `=` is no policy, or nothing is before it.
    """
    rules = []
    for text in attach:
        glob, equals, policy = text.rpartition("=")
        if policy not in list(Policy):
            choice = ", ".join(Policy)
            raise ConfigError(f"--attach {text}: {policy!r} is no policy; say [GLOB=]POLICY, with one of {choice}")
        if equals and not glob:
            raise ConfigError(f"--attach {text}: the glob is empty; without the = it is for all consoles")
        rules.append({"match": glob or "*", "attach": policy})
    return sorted(rules, key=lambda rule: rule["match"] == "*")


def _is_unicode(text: str) -> bool:
    """Whether bytes of a command line were text; Python keeps others as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
