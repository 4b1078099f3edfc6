"""The command `virtmuxd`."""

import asyncio
import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from virtmux import __version__
from virtmuxd.config.errors import ConfigError
from virtmuxd.config.instance import Instance, default_instance
from virtmuxd.config.source import Loaded, Source, printed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--system/--session",
    "is_system",
    default=None,
    help="Serve the system's guests, as root's daemon does by default, or your own; places and URI depend on it.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="A TOML file instead of the usual one; FILE.d/*.toml add to it, and the other options win.",
)
@click.option("--uri", multiple=True, help="A libvirt URI; may be given several times.")
@click.option("--socket", help="The socket; its directory is the runtime directory.")
@click.option(
    "--attach",
    multiple=True,
    metavar="[GLOB=]POLICY",
    help="When consoles are held: on-demand, always or never; may be repeated. GLOB is of DOMAIN or DOMAIN:DEVICE.",
)
@click.option("--domain", multiple=True, metavar="GLOB", help="Only domains with such a name; may be repeated.")
@click.option("--journal-directory", metavar="DIR", help="Where the journal lies.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="From which level on records are logged; the audit is in any case.",
)
@click.option("--check-config", is_flag=True, help="Say what is wrong with the configuration, or that it can be used.")
@click.option("--print-config", is_flag=True, help="Print the configuration that would be used, with all its defaults.")
@click.option(
    "--install-units",
    is_flag=True,
    help="Write systemd's units for this virtmuxd, and what they need, and say what comes next. Starts nothing.",
)
@click.version_option(__version__, message="virtmuxd %(version)s")
def main(
    is_system: bool | None,  # noqa: FBT001  # click passes it by its name
    config_file: Path | None,
    check_config: bool,  # noqa: FBT001
    print_config: bool,  # noqa: FBT001
    install_units: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Hold the consoles of this host's guests and serve them to local clients."""
    if not __debug__:
        _fail("python -O drops code that libvirtaio needs; run it without -O", 2)
    # It waits until it can be followed (`app`): what is read now may be too old by then.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    instance = {None: default_instance(), True: Instance.SYSTEM, False: Instance.SESSION}[is_system]
    if install_units:
        _install_units(instance)
        return
    source = Source(instance, config_file, options)
    try:
        loaded = source.read()
        if check_config or print_config:
            click.echo(printed(loaded.config) if print_config else _praise(source.files), nl=not print_config)
            return
    except ConfigError as error:
        _fail(str(error), 2)
    _run(loaded, source)


def _run(loaded: Loaded, source: Source) -> None:
    """The daemon, to its end."""
    try:
        import uvloop

        from virtmuxd import app, logs
    except ImportError as error:
        _fail(f"{error}; the daemon needs more than the client: pip install 'virtmux[daemon]'", 1)
    # A watchdog ends it by SIGABRT: then it says where it hung.
    faulthandler.enable()
    config, runtime = loaded.config, loaded.config.socket_path.parent
    try:
        with logs.set_up(config.log_level), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            all_returned = runner.run(app.serve(loaded, source.read))
    except BlockingIOError as error:
        used, option = (error.filename, "--journal-directory") if error.filename else (runtime, "--socket")
        _fail(f"another virtmuxd uses {used}; end that one, or choose another directory with {option}", 1)
    except OSError as error:
        where = f"{error.filename or config.socket}: {error.strerror or error}"
        _fail(f"{where}; --socket chooses another place for sockets and rings", 1)
    if not all_returned:
        # Python would wait for threads that are stuck in libvirt.
        os._exit(0)


def _praise(files: list[Path]) -> str:
    read = ", ".join(str(file) for file in files)
    return f"the configuration can be used: {read}" if read else "there is no configuration file; the defaults are used"


def _install_units(instance: Instance) -> None:
    from virtmuxd import units

    try:
        for line in units.install(instance, units.program(), os.environ):
            click.echo(line)
    except units.UnitsError as error:
        _fail(str(error), 1)


def _fail(text: str, status: int) -> NoReturn:
    for line in text.splitlines():
        click.echo(f"virtmuxd: {line}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
