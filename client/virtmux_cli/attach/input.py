"""The input of `virtmux attach`: stdin to the guest, and what is said of it that does not get there.

type     stdin -> escape key -> Typeahead
send     Typeahead -> Console.write, or Console.send for what is typed
watch    what becomes of that -> talk

What is piped waits: for the console, for its fate, and until this place may type again. What is typed at a terminal is
dropped instead, which is said once: it must not reach the next boot, nor come as a surprise.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import assert_never

from virtmux.console import Console
from virtmux.errors import InputRejected, NotAttached, Refused
from virtmux.ledger import InputState
from virtmux.people import Role
from virtmux.reason_now import reason_now
from virtmux.reasons import Phase, Reason
from virtmux_cli.attach.escape import until_escape
from virtmux_cli.attach.input_watch import Held, InputWatch, Lost
from virtmux_cli.attach.talk import Talk
from virtmux_cli.attach.typeahead import Typeahead
from virtmux_cli.streams import read

_STDIN = 0
#: Bytes that are read ahead: of a pipe, and of what is pasted, behind which the escape key stands.
_PIPED_AHEAD = 65536
_PASTED_AHEAD = 16 * 1048576


class AttachInput:
    """See the module. `escaped` is called for the escape key, and for the end of a terminal; `ended` once the end of
    what is piped was sent."""

    def __init__(
        self,
        talk: Talk,
        *,
        escape: bytes | None,
        typed: bool,
        read_only: bool,
        escaped: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        """`typed`: stdin is a terminal."""
        self._talk = talk
        self._escape = escape
        self._typed = typed
        self._read_only = read_only
        self._on_escape = escaped
        self._on_end = ended
        self._typeahead = Typeahead(_PASTED_AHEAD if typed else _PIPED_AHEAD)
        self._watch = InputWatch(keys=typed)
        self._console: Console | None = None
        self._attached = asyncio.Event()
        self._may_type = asyncio.Event()
        #: Bytes that were taken from the typeahead and wait.
        self._unsent = 0
        self._dropping = False
        self._escaped = False

    def begin(self, console: Console, tasks: asyncio.TaskGroup) -> None:
        """The console is attached for the first time."""
        self._console = console
        self._attached.set()
        tasks.create_task(self._type(), name="type")
        tasks.create_task(self._send(console), name="send")
        tasks.create_task(self._tell(console), name="watch")

    def hold(self) -> None:
        """Nothing is attached. What was pasted and not sent yet is dropped."""
        self._attached.clear()
        self._dropping = False
        if self._typed and self._typeahead.size:
            self._talk.input_left(self._typeahead.size, 0)
            self._typeahead.clear()

    def go_on(self) -> None:
        """The console is attached again."""
        self._attached.set()
        self._dropping = False

    def permit(self) -> None:
        """This place may type again."""
        self._may_type.set()
        self._dropping = False

    def say_what_is_left(self) -> None:
        """What has not arrived as the command ends."""
        unsent, under_way = self._typeahead.size + self._unsent, 0
        if self._console is not None and (state := self._console.input) is not None:
            self._tell_state(self._console, state)
            given_and_unsent, under_way = self._watch.left(state)
            unsent += given_and_unsent
        if unsent or under_way:
            self._talk.input_left(unsent, under_way)

    async def _type(self) -> None:
        """Take stdin, up to the escape key. On a terminal that acts at once; behind what is piped it waits too."""
        unused = self._read_only and self._escape is None
        while not unused and not self._escaped and (data := await read(_STDIN)):
            data, self._escaped = until_escape(data, self._escape)
            if self._read_only or not data:
                continue
            if self._attached.is_set() or not self._typed:
                await self._typeahead.put(data)
            else:
                self._drop()
        if self._typed:
            self._on_escape()
        self._typeahead.close()

    async def _send(self, console: Console) -> None:
        while data := await self._typeahead.take():
            await self._send_all(console, data)
        if self._escaped:
            self._on_escape()
        else:
            self._on_end()

    async def _send_all(self, console: Console, data: bytes) -> None:
        """Send one piece. `_tell` says what becomes of it once it is sent."""
        give = console.send if self._typed else console.write
        while True:
            try:
                return await give(data)
            except NotAttached:
                if self._typed:
                    return self._drop()
                await self._wait_for(self._attached, len(data))
            except InputRejected:
                return None
            except Refused as error:
                if self._typed or console.role is not Role.WATCHER:
                    return self._refuse(console, error.reason, len(data))
                self._talk.input_waits(console.exclusive_to)
                await self._wait_for(self._may_type, len(data))

    async def _wait_for(self, event: asyncio.Event, size: int) -> None:
        event.clear()
        self._unsent = size
        await event.wait()
        self._unsent = 0

    def _refuse(self, console: Console, why: Reason, size: int) -> None:
        """This place may only watch, now or for ever."""
        if not self._typed:
            self._talk.input_lost(why, size, size)
        elif not self._dropping:
            self._dropping = True
            self._talk.input_not_sent(console.exclusive_to)

    def _drop(self) -> None:
        if not self._dropping:
            self._dropping = True
            self._talk.input_dropped(None)

    async def _tell(self, console: Console) -> None:
        async with contextlib.aclosing(console.input_states()) as states:
            async for state in states:
                self._tell_state(console, state)

    def _tell_state(self, console: Console, state: InputState) -> None:
        for news in self._watch.take(state):
            match news:
                case Held(waiting, accepted):
                    self._talk.input_held(console.place.info.id.domain, waiting, accepted)
                case Lost(cause, size, lost):
                    reason = reason_now(cause, phase=Phase.SEND, console=console.place.info.id)
                    self._talk.input_lost(reason, size, lost)
                case _:
                    assert_never(news)
