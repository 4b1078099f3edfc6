"""`virtmux events`: what happens to all consoles, as it happens and as it happened."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import click

from virtmux.addresses import Address, SshHost
from virtmux.client import Client, connect
from virtmux.errors import VirtmuxError
from virtmux.following import Disconnected, Happening, Reconnected
from virtmux.messages import Event
from virtmux_cli.addresses import addresses
from virtmux_cli.main import complain, run_async, stdout_failed
from virtmux_cli.options import checked
from virtmux_cli.output import failed
from virtmux_cli.past_events import past_events
from virtmux_cli.streams import Outlet
from virtmux_cli.text import event_json, event_line, reason_text
from virtmux_cli.when import parse_when

_STDOUT = 1


def _when(text: str) -> int:
    return parse_when(text, time.time_ns())


class Options(NamedTuple):
    """The command line of `events`; `since` is a time (ns)."""

    addresses: Sequence[Address | None]
    since: int | None
    follow: bool
    as_json: bool


@click.command("events", short_help="Show what happens to all consoles.")
@click.option(
    "--since", metavar="WHEN", callback=checked(_when), help="Show what is stored of that time or later, and end."
)
@click.option("--follow", "-f", is_flag=True, help="With --since: go on with what happens.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(ctx: click.Context, *, since: int | None, follow: bool, as_json: bool) -> int:
    """Show marks and reasons of all consoles as they happen, beginning with the consoles that exist.

    After a lost connection it connects again, and every console appears anew. WHEN is, for example, today,
    2026-01-31 12:00, -1h30m or @1700000000.
    """
    return run_async(_events(Options(addresses(ctx), since, follow or since is None, as_json)))


async def _events(options: Options) -> int:
    outlet = Outlet(_STDOUT)
    shown = Shown(options, outlet)
    try:
        async with asyncio.TaskGroup() as tasks:
            showing = [tasks.create_task(shown.host(address), name=f"show {address}") for address in options.addresses]

            def stop(_: object) -> None:
                for task in showing:
                    task.cancel()

            outlet.failed.add_done_callback(stop)
    finally:
        outlet.close()
    if outlet.failed.done():
        return stdout_failed(outlet.failed.result())
    return next((task.result() for task in showing if task.result()), 0)


class Shown:
    """What the daemons of one host or of several tell, on stdout; what has happened before what happens."""

    def __init__(self, options: Options, outlet: Outlet) -> None:
        self._options = options
        self._outlet = outlet
        self._several = len(options.addresses) > 1
        self._past: list[tuple[Event, str | None]] = []
        self._asked = 0
        self._told = asyncio.Event()

    async def host(self, address: Address | None) -> int:
        """Show one daemon's, and give the status with which that ends."""
        name = address.name if isinstance(address, SshHost) else None
        asking = self._options.since is not None
        try:
            async with connect(address) as mux:
                if self._options.since is not None:
                    events = await past_events(mux, self._options.since)
                    asking = False
                    await self._tell_past([(event, name) for event in events])
                    await self._told.wait()
                if self._options.follow:
                    await self._follow(mux, name)
        except VirtmuxError as error:
            if asking:
                await self._tell_past([])
            await self._outlet.flush()
            return failed(error)
        await self._outlet.flush()
        return 0

    async def _tell_past(self, events: Sequence[tuple[Event, str | None]]) -> None:
        """What one of them had to tell; it is shown once all have, in the order in which it happened."""
        self._past += events
        self._asked += 1
        if self._asked == len(self._options.addresses):
            for event, name in sorted(self._past, key=lambda each: each[0].at):
                await self._show(event, name)
            self._told.set()

    async def _follow(self, mux: Client, name: str | None) -> None:
        async with contextlib.aclosing(mux.events()) as events:
            async for happening in events:
                await self._show(happening, name)

    async def _show(self, happening: Happening, name: str | None) -> None:
        at = f"{name}: " if name and self._several else ""
        match happening:
            case Disconnected(reason=reason):
                text = reason_text(reason)
                complain(f"virtmux: {text if name and name in text else at + text}; connecting again")
            case Reconnected():
                complain(f"virtmux: {at}connected again")
            case event if self._options.as_json:
                await self._outlet.write(event_json(event, name))
            case event:
                await self._outlet.write(event_line(event, name if self._several else None).encode(errors="replace"))
