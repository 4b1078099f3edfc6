"""What is sent, in the order of the command line; secrets stay out of sight."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from virtmux_cli.automation.parts import (
    InputCommand,
    Kind,
    Part,
    Piece,
    TextCommand,
    given,
    input_options,
    pieces,
    redacted,
    redacted_so_far,
)


def parsed(*arguments: str, texts: bool = True) -> tuple[list[Part], tuple[str, ...], str | None, bool] | str:
    """The parts, other arguments, an option and a flag; or what is wrong."""
    seen: list[tuple[list[Part], tuple[str, ...], str | None, bool]] = []

    @click.command(cls=TextCommand if texts else InputCommand)
    @click.argument("words", nargs=-1)
    @click.option("--send", expose_value=False)
    @input_options
    @click.option("--uri")
    @click.pass_context
    def command(ctx: click.Context, words: tuple[str, ...], uri: str | None, *, line: bool, terminal: str) -> None:
        seen.append((given(ctx), words, uri, line))

    result = CliRunner().invoke(command, list(arguments))
    return seen[0] if seen else result.output


def test_texts_and_options_keep_their_order() -> None:
    assert parsed("web1", "--key", "esc", ":wq", "--uri", "u", "--line", "--secret-env=PW", "-", "--file", "a") == (
        [
            Part(Kind.KEY, "esc"),
            Part(Kind.TEXT, ":wq"),
            Part(Kind.HIDDEN_ENV, "PW"),
            Part(Kind.FILE, "-"),
            Part(Kind.FILE, "a"),
        ],
        ("web1",),
        "u",
        True,
    )


def test_behind_two_dashes_everything_is_text() -> None:
    expected = ([Part(Kind.TEXT, "--line"), Part(Kind.TEXT, "-"), Part(Kind.TEXT, "--")], ("web1",), None, False)
    assert parsed("web1", "--", "--line", "-", "--") == expected
    assert parsed("--", "web1", "--line", "-", "--") == expected


def test_without_texts_the_arguments_are_left_alone() -> None:
    assert parsed("web1", "a", "--send", "x", "--", "-b", texts=False) == (
        [Part(Kind.SEND, "x")],
        ("web1", "a", "-b"),
        None,
        False,
    )


def test_an_option_without_its_value_is_a_usage_error() -> None:
    assert "Option '--key' requires an argument" in str(parsed("web1", "--key"))


def test_words_are_separated_by_blanks_and_line_is_enter() -> None:
    parts = [Part(Kind.TEXT, "uname"), Part(Kind.TEXT, "-r"), Part(Kind.KEY, "tab"), Part(Kind.TEXT, "x")]
    assert b"".join(each.data for each in pieces(parts, line=True)) == b"uname -r\tx\r"


def test_a_secret_is_what_stands_in_its_file_or_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(b"hunter2\n")
    monkeypatch.setenv("PW", "s3cret\n")
    parts = [Part(Kind.HIDDEN_FILE, str(tmp_path / "secret")), Part(Kind.HIDDEN_ENV, "PW")]
    assert pieces(parts, line=False) == [Piece(b"hunter2", secret=True), Piece(b"s3cret\n", secret=True)]


def test_secrets_are_taken_out_of_what_is_shown() -> None:
    sent = [Piece(b"root"), Piece(b"pass", secret=True), Piece(b"password", secret=True), Piece(b"", secret=True)]
    assert redacted(b"root password pass", sent) == b"root *** ***"


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (b"Password: ", b"Password: "),
        (b"Password: hunt", b"Password: ***"),
        (b"hunter2 h", b"*** ***"),
        (b"hunter2: hunt s", b"***: hunt s"),
        (b"h", b"***"),
        (b"", b""),
    ],
)
def test_nor_is_an_echo_shown_that_has_only_begun(seen: bytes, shown: bytes) -> None:
    sent = [Piece(b"hunter", secret=True), Piece(b"hunter2", secret=True), Piece(b"P")]
    assert redacted_so_far(seen, sent) == shown


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Part(Kind.FILE, "/nonexistent"), "/nonexistent: No such file or directory"),
        (Part(Kind.HIDDEN_FILE, "/"), "/: Is a directory"),
        (
            Part(Kind.HIDDEN_ENV, "VIRTMUX_NONE"),
            "there is no environment variable 'VIRTMUX_NONE'",
        ),
        (Part(Kind.KEY, "hyper"), "has no key 'hyper'"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(part: Part, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        pieces([part], line=False)
