"""The entry point: finds the command, and turns whatever ends it into one line and an exit status."""

import gc
import os
import re
import sys
from collections.abc import Coroutine, Iterator, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import click

from virtmux import __version__
from virtmux_cli.statuses import INTERRUPTED
from virtmux_cli.virsh.options import behind_the_command

#: The commands are imported when they are asked for, so that `virtmux --help` and shell completion stay fast.
COMMANDS = {
    "attach": "virtmux_cli.attach.command",
    "completion": "virtmux_cli.completion",
    "console": "virtmux_cli.virsh.command",
    "dial-stdio": "virtmux_cli.dial_stdio",
    "doctor": "virtmux_cli.doctor.command",
    "events": "virtmux_cli.events",
    "expect": "virtmux_cli.automation.expect",
    "forget": "virtmux_cli.forget",
    "key": "virtmux_cli.key",
    "kick": "virtmux_cli.kick",
    "list": "virtmux_cli.list",
    "log": "virtmux_cli.log.opening",
    "nmi": "virtmux_cli.nmi",
    "reclaim": "virtmux_cli.reclaim",
    "release": "virtmux_cli.release",
    "screen": "virtmux_cli.screen.command",
    "send": "virtmux_cli.automation.send",
    "start": "virtmux_cli.start",
    "status": "virtmux_cli.status",
    "tmux": "virtmux_cli.tmux.opening",
    "tmux-follow": "virtmux_cli.tmux.follow",
    "wait": "virtmux_cli.automation.wait",
    "who": "virtmux_cli.who",
}
#: How `virtmux --help` and the manual page arrange them; what stands in none comes last, under `OTHER`.
SECTIONS = {
    "Watch and use consoles": ("attach", "console", "screen", "log", "tmux"),
    "See what there is": ("list", "who", "status", "events", "doctor"),
    "Drive guests": ("send", "expect", "wait", "start", "key", "nmi"),
    "Give, take and clean up": ("release", "reclaim", "kick", "forget"),
}
#: The last section.
OTHER = "Other commands"
#: Set by a shell that asks how a command line may go on.
COMPLETE_VARIABLE = "_VIRTMUX_COMPLETE"
#: Options of `virtmux` itself, which no command takes.
_BEFORE = frozenset({"-H", "--host", "--socket"})
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_USAGE = click.UsageError.exit_code


def load(module: str) -> ModuleType:
    """Import a module without looking for garbage meanwhile and, in what was imported, at the end: there is none.

    That is an eighth of the time that `virtmux list` takes.
    """
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


class LazyGroup(click.Group):
    """A group whose commands stand in `COMMANDS`, each as `command` in its module, and are shown by `SECTIONS`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take virsh's options of `console` also where virsh takes them: before it.

        Without a command the help is an error: before 8.2 click prints it on stdout, and ends with 0.
        """
        if not args and not ctx.resilient_parsing:
            complain(ctx.get_help())
            ctx.exit(_USAGE)
        return super().parse_args(ctx, behind_the_command(args))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        module = COMMANDS.get(cmd_name)
        command = load(module).command if module else None
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What `--help` says of the commands: a section after the other."""
        sections = list(self.sections(ctx))
        widest = max(len(command.name or "") for _, commands in sections for command in commands)
        for title, commands in sections:
            with formatter.section(title):
                limit = formatter.width - 6 - widest
                rows = [((command.name or "").ljust(widest), command.get_short_help_str(limit)) for command in commands]
                formatter.write_dl(rows)

    def sections(self, ctx: click.Context) -> Iterator[tuple[str, list[click.Command]]]:
        """The sections and their commands, without those that are hidden."""
        found = {name: self.get_command(ctx, name) for name in COMMANDS}
        shown = {name: command for name, command in found.items() if command is not None and not command.hidden}
        arranged = {name for names in SECTIONS.values() for name in names}
        for title, names in {**SECTIONS, OTHER: sorted(shown.keys() - arranged)}.items():
            if commands := [shown[name] for name in names if name in shown]:
                yield title, commands


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--host",
    "-H",
    "hosts",
    metavar="[USER@]HOST",
    multiple=True,
    help="Another host's daemon, over ssh; several times for what shows several hosts.",
)
@click.option("--socket", metavar="PATH", help="The daemon's socket, instead of VIRTMUX_SOCKET or the usual places.")
@click.version_option(__version__, message="virtmux %(version)s")
@click.pass_context
def cli(ctx: click.Context, socket: str | None, hosts: Sequence[str]) -> None:
    """Watch and use the consoles of libvirt guests, held by virtmuxd for any number of clients."""
    from virtmux_cli.addresses import choose

    choose(ctx, socket, hosts)


def run_async(command: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine to its exit status."""
    import asyncio

    try:
        return asyncio.run(command)
    except KeyboardInterrupt:
        return INTERRUPTED


def stdout_failed(error: OSError) -> int:
    """The exit status where stdout takes no more; what is buffered is dropped.

    That nobody reads any more is no failure: `virtmux list | head -1` ends with 0.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
    if isinstance(error, BrokenPipeError):
        return 0
    complain(f"virtmux: stdout: {error.strerror}")
    return 1


def _unexpected(error: Exception) -> int:
    """The exit status of a bug, or of a stdout that has no room for click's help, which is still in its buffer."""
    try:
        sys.stdout.flush()
    except OSError as no_room:
        return stdout_failed(no_room)
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    complain(f"virtmux: internal error: {type(first).__name__}: {first}; VIRTMUX_DEBUG=1 shows where")
    return 1


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default the process's) and return its exit status."""
    from virtmux.errors import VirtmuxError

    if COMPLETE_VARIABLE in os.environ:
        from virtmux_cli.shells import register

        register()
    try:
        status = cli.main(arguments, prog_name="virtmux", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except SystemExit as error:
        if error.code != 1:  # a signal's
            raise
        return stdout_failed(BrokenPipeError())  # click's own, where nobody reads the help
    except click.ClickException as error:
        complain(_click_line(error))
        return error.exit_code
    except VirtmuxError as error:
        from virtmux_cli.output import failed

        return failed(error)
    except Exception as error:
        if os.environ.get("VIRTMUX_DEBUG"):
            raise
        return _unexpected(error)
    return status if isinstance(status, int) else 0


def main() -> None:
    """The `virtmux` command."""
    _open_missing_streams()
    sys.exit(run())


def _open_missing_streams() -> None:
    """Put something where stdin, stdout or stderr are closed, so that no socket takes their number.

    A closed stdout becomes a pipe that nobody reads: it is the same to whoever writes to it.
    """
    for fd in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(fd)
        except OSError:
            _open_as(fd)
    sys.stdout = sys.stdout or os.fdopen(_STDOUT, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def _open_as(fd: int) -> None:
    if fd == _STDOUT:
        reader, opened = os.pipe()
        os.close(reader)
    else:
        opened = os.open(os.devnull, os.O_RDONLY if fd == _STDIN else os.O_WRONLY)
    if opened != fd:
        os.dup2(opened, fd)
        os.close(opened)


def _click_line(error: click.ClickException) -> str:
    text = re.sub(r"\s*\n\s*", " ", error.format_message().rstrip("."))
    if isinstance(error, click.NoSuchOption) and error.option_name in _BEFORE:
        text += ": it stands before the command, as in `virtmux -H HOST list`"
    line = f"virtmux: {text[:1].lower()}{text[1:]}"
    if not isinstance(error, click.UsageError):
        return line
    return f"{line}; see `{error.ctx.command_path if error.ctx else 'virtmux'} --help`"


def complain(line: str) -> None:
    """Say a line on stderr."""
    print(line, file=sys.stderr)
