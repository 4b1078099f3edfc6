"""What the machines of `make stranger` are told of this one, and what is done there."""

import subprocess

import pytest

from tests.stranger.registries import Source, pip_settings_in, sources_in
from tests.stranger.steps import USERS, script, steps


def test_debians_archives_are_found_among_others_and_the_suites_own_is_first() -> None:
    said = (
        "bookworm-security http://security.example/ Debian\n"
        "bookworm http://archive.example/ Debian\n"
        "bookworm http://archive.example/ Debian\n"
        "bookworm-updates http://archive.example/ Debian\n"
        "bookworm-backports http://archive.example/ Debian Backports\n"
        "nodistro http://node.example/ .\n"
    )
    assert sources_in(said) == [
        Source("http://archive.example/", ""),
        Source("http://security.example/", "-security"),
        Source("http://archive.example/", "-updates"),
    ]


@pytest.mark.parametrize(
    "said", ["", "bookworm-security http://security.example/ Debian\n", "noble http://a/ Ubuntu\n"]
)
def test_without_an_archive_of_a_suite_itself_there_is_nothing_to_make_a_machine_of(said: str) -> None:
    with pytest.raises(LookupError, match="apt-get update"):
        sources_in(said)


def test_what_pip_is_told_by_the_environment_wins_over_its_files() -> None:
    said = ":env:.index-url='https://near.example/'\nglobal.index-url='https://far.example/'\ninstall.retries='2'"
    assert pip_settings_in(said) == {"index-url": "https://near.example/", "retries": "2"}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("step", steps())
def test_a_step_is_a_shell_script(step: str, user: str) -> None:
    subprocess.run(["sh", "-n", "-c", script(step, user)], check=True)
