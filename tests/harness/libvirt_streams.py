"""What virtmuxd relies on of the streams of libvirt's consoles; see `libvirt_behaviours.py`."""

import asyncio
import gc
import threading
import weakref
from unittest import mock

import libvirt

from tests.harness.libvirt_stage import ERROR, NOTHING, READABLE, Behaviours, Ear, Stage, failure
from tests.harness.turns import turns, until

_FROM_RPC, _FROM_STREAMS = libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_STREAMS

STREAMS = Behaviours()


# Output.


@STREAMS.add()
async def where_the_guest_says_nothing_there_is_nothing(stage: Stage) -> None:
    async with stage.listening() as ear:
        assert ear.stream.recv(100) == NOTHING
        await turns()
        assert ear.calls == []


@STREAMS.add()
async def no_more_is_given_than_was_asked_for_and_the_rest_is_kept(stage: Stage) -> None:
    async with stage.open() as stream:
        await stage.hear_out(stream)
        stage.say(b"a line\n")
        given: list[bytes] = []

        def take() -> bool:
            piece = stream.recv(2)
            if piece != NOTHING:
                given.append(piece)
            return b"".join(given) == b"a line\n"

        await until(take)
        assert {len(piece) for piece in given} <= {1, 2}
        assert stream.recv(2) == NOTHING


@STREAMS.add()
async def output_is_told_on_the_loop_and_again_as_long_as_some_is_left(stage: Stage) -> None:
    async with stage.listening(takes=False) as ear:
        stage.say(b"a line\n")
        await until(lambda: len(ear.calls) > 3)
        assert {call.events for call in ear.calls} == {READABLE}
        assert {call.thread for call in ear.calls} == {threading.get_ident()}
        ear.takes = True
        await until(lambda: ear.output == b"a line\n")
        told = len(ear.calls)
        await turns()
        assert len(ear.calls) == told


@STREAMS.add()
async def what_came_before_anybody_listened_is_told(stage: Stage) -> None:
    async with stage.listening(takes=False) as ear:
        stage.say(b"a line\n")
        await until(lambda: ear.calls)
        ear.leave()
        late = Ear(ear.stream)
        late.listen()
        await until(lambda: late.output == b"a line\n")
        late.leave()


# The callback.


@STREAMS.add()
async def who_has_removed_its_callback_is_told_nothing(stage: Stage) -> None:
    async with stage.listening(takes=False) as ear:
        stage.say(b"a line\n")
        await until(lambda: ear.calls)
        ear.leave()
        told = len(ear.calls)
        await turns()
        await stage.hear_out(ear.stream)
        assert len(ear.calls) == told


@STREAMS.add()
async def a_callback_may_remove_itself_and_be_there_again(stage: Stage) -> None:
    class Once(Ear):
        def _dispatchStreamEventCallback(self, events: int, opaque: object) -> int:  # noqa: N802
            super()._dispatchStreamEventCallback(events, opaque)
            self.leave()
            return 0

    async with stage.open() as stream:
        await stage.hear_out(stream)
        ear = Once(stream)
        for times in (1, 2):
            ear.listen()
            stage.say(b"a line\n")
            await until(lambda: len(ear.calls) == times)  # noqa: B023
            await stage.hear_out(stream)
            await turns()
            assert len(ear.calls) == times


@STREAMS.add()
async def there_is_one_callback_and_it_is_removed_once(stage: Stage) -> None:
    where = _FROM_RPC if stage.remote else _FROM_STREAMS
    async with stage.listening() as ear:
        assert Ear(ear.stream).listen() == -1
        error = libvirt.libvirtError("virStreamEventAddCallback() failed").err
        assert error[:2] == (libvirt.VIR_ERR_INTERNAL_ERROR, where)
        assert ear.stream.eventRemoveCallback() == 0
        refused = failure(ear.stream.eventRemoveCallback)
        assert refused is not None
        assert refused[:2] == (libvirt.VIR_ERR_INTERNAL_ERROR, where)


@STREAMS.add()
async def an_exception_in_a_callback_is_printed_and_ends_nothing(stage: Stage) -> None:
    class Clumsy(Ear):
        def _dispatchStreamEventCallback(self, events: int, opaque: object) -> int:  # noqa: N802
            super()._dispatchStreamEventCallback(events, opaque)
            raise ZeroDivisionError

    printed: list[object] = []
    with mock.patch("sys.excepthook", lambda kind, *_: printed.append(kind)):
        async with stage.open() as stream:
            await stage.hear_out(stream)
            ear = Clumsy(stream)
            ear.listen()
            for line in (b"one line\n", b"another\n"):
                stage.say(line)
                await until(lambda: ear.output.endswith(line))  # noqa: B023
            ear.leave()
    assert printed == [ZeroDivisionError] * len(ear.calls)


@STREAMS.add()
async def a_callback_that_was_removed_keeps_neither_its_stream_nor_the_connection(stage: Stage) -> None:
    connection = stage.connect()
    ear = Ear(stage.opened(connection))
    ear.listen()
    ear.leave()
    ear.stream.abort()
    freed = weakref.ref(ear.stream)
    await turns()
    ear.forget()
    assert freed() is None
    assert connection.close() == 0


@STREAMS.add()
async def that_of_the_binding_itself_keeps_both_over_rpc(stage: Stage) -> None:
    connection = stage.connect()
    stream = stage.opened(connection)
    stream.eventAddCallback(READABLE, lambda *_: None, None)
    stream.eventRemoveCallback()
    stream.abort()
    freed = weakref.ref(stream)
    del stream
    await turns()
    gc.collect()
    assert (freed() is None) is not stage.remote
    assert connection.close() == (1 if stage.remote else 0)


@STREAMS.add()
async def a_connection_is_not_closed_as_long_as_a_stream_is_there(stage: Stage) -> None:
    connection = stage.connect()
    stream = stage.opened(connection)
    assert connection.close() == 1
    stream.abort()


# Input.


@STREAMS.add()
async def input_reaches_the_guest_and_no_bytes_are_no_input(stage: Stage) -> None:
    async with stage.listening() as ear:
        assert ear.stream.send(b"typed\n") == 6
        await until(lambda: ear.output == b"typed\n")
        assert ear.stream.send(b"") == 0
        stage.say(b"said\n")
        await until(lambda: ear.output.endswith(b"said\n"))
        assert ear.output == b"typed\nsaid\n"


@STREAMS.add(exclusive=True)
async def a_paused_guest_is_sent_what_its_line_holds_and_over_rpc_more(stage: Stage) -> None:
    packet, most = b"x" * 2048, 8 if stage.remote else 32
    sent: list[int] = []
    async with stage.listening() as ear:
        await asyncio.to_thread(stage.domain.suspend)
        try:
            while NOTHING not in sent and len(sent) < most:
                sent.append(ear.stream.send(packet))
        finally:
            await asyncio.to_thread(stage.domain.resume)
        assert sent[:4] == [len(packet)] * 4
        if stage.remote:
            assert sent == [len(packet)] * most
        else:
            assert sent.pop() == NOTHING
        await until(lambda: len(ear.output) == sum(sent))


# Whose a console is.


@STREAMS.add(exclusive=True)
async def a_console_is_one_clients_until_it_is_aborted(stage: Stage) -> None:
    async with stage.open() as stream:
        refused = failure(stage.opened, stage.theirs)
        assert refused is not None
        assert refused[:2] == (libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_QEMU)
        await asyncio.to_thread(stream.abort)
        async with stage.open(stage.theirs) as theirs:
            await stage.hear_out(theirs)


@STREAMS.add(exclusive=False)
async def a_console_is_given_to_two_clients_and_by_force_to_none(stage: Stage) -> None:
    async with stage.open(), stage.open(stage.theirs):
        pass
    refused = failure(lambda: stage.opened(stage.ours, force=True))
    assert refused is not None
    assert refused[0] == libvirt.VIR_ERR_INVALID_ARG


@STREAMS.add(remote=True, exclusive=True)
async def a_connection_that_is_closed_gives_its_console_back(stage: Stage) -> None:
    connection = stage.connect()
    stream = stage.opened(connection)
    connection.close()
    del stream
    await until(lambda: failure(lambda: stage.opened(stage.theirs).abort()) is None)


@STREAMS.add(remote=False)
async def a_stream_of_this_process_gives_its_console_back_by_an_abort_alone(stage: Stage) -> None:
    connection = stage.connect()
    stream = stage.opened(connection)
    connection.close()
    del stream
    assert failure(stage.opened, stage.theirs) is not None
    async with stage.open(stage.theirs, force=True):
        pass


@STREAMS.add(remote=True, exclusive=True)
async def who_loses_a_console_by_force_is_told_by_recv(stage: Stage) -> None:
    lost = libvirt.VIR_ERR_RPC, _FROM_STREAMS, "stream had I/O failure"
    connection = stage.connect()  # an abort behind that may end it
    async with stage.listening(connection) as ear, stage.open(stage.theirs, force=True) as theirs:
        await until(lambda: ear.failed)
        assert ear.failed == lost
        assert ear.calls[-1] == (READABLE, threading.get_ident())
        assert failure(ear.stream.send, b"x") == lost
        assert connection.getLibVersion() > 0
        await stage.hear_out(theirs)
        assert await asyncio.to_thread(failure, ear.stream.abort) is not None
    connection.close()


@STREAMS.add(remote=False)
async def who_loses_a_console_by_force_in_this_process_is_told_by_the_event(stage: Stage) -> None:
    """In the thread of who takes it, and while there seems to be nothing wrong."""
    lost = libvirt.VIR_ERR_INTERNAL_ERROR, _FROM_STREAMS, "internal error: stream is not open"
    async with stage.listening() as ear, stage.open(stage.theirs, force=True) as theirs:
        (call,) = ear.calls
        assert call.events == ERROR
        assert call.thread != threading.get_ident()
        assert ear.failed is None
        assert failure(ear.stream.recv, 100) == failure(ear.stream.send, b"x") == lost
        assert ear.stream.abort() == 0
        await stage.hear_out(theirs)


@STREAMS.add(exclusive=True)
async def an_error_is_told_ahead_of_what_is_left(stage: Stage) -> None:
    connection = stage.connect()
    async with stage.listening(connection, takes=False) as ear:
        stage.say(b"a line\n")
        await until(lambda: ear.calls)
        async with stage.open(stage.theirs, force=True):
            await until(lambda: failure(ear.stream.send, b""))
            assert failure(ear.stream.recv, 100) is not None
    connection.close()


@STREAMS.add()
async def of_a_stream_that_was_aborted_nothing_can_be_had(stage: Stage) -> None:
    async with stage.open() as stream:
        assert stream.abort() == 0
        closed = failure(stream.recv, 100)
        assert closed is not None
        assert failure(stream.send, b"x") == closed
        if stage.remote:
            assert closed == failure(stream.abort)
            assert closed == (libvirt.VIR_ERR_OPERATION_FAILED, _FROM_RPC, "operation failed: stream is closed")
        else:
            assert closed == (libvirt.VIR_ERR_INTERNAL_ERROR, _FROM_STREAMS, "internal error: stream is not open")
            assert stream.abort() == 0


# The end.


@STREAMS.add()
async def the_end_comes_behind_output_as_no_bytes_and_is_told_until_nobody_listens(stage: Stage) -> None:
    async with stage.listening(takes=False) as ear:
        stage.say(b"a line\n")
        await until(lambda: ear.calls)
        await asyncio.to_thread(stage.domain.destroy)
        ear.takes = True
        await until(lambda: ear.ends > 3)
        assert b"a line\n".startswith(ear.output)
        assert ear.output or not stage.remote, "in the client it is safe, in the PTY it is not"
        assert {call.thread for call in ear.calls} == {threading.get_ident()}
        ear.leave()
        assert ear.stream.abort() == 0


@STREAMS.add()
async def the_end_is_told_to_who_comes_late(stage: Stage) -> None:
    async with stage.open() as stream:
        await stage.hear_out(stream)
        await asyncio.to_thread(stage.domain.destroy)
        await until(lambda: stream.recv(100) == b"")
        ear = Ear(stream)
        ear.listen()
        await until(lambda: ear.ends)
        ear.leave()
        assert stream.abort() == 0


@STREAMS.add(behind_the_end=True)
async def input_behind_the_end_fails_and_over_rpc_it_is_the_abort_that_does(stage: Stage) -> None:
    closed = libvirt.VIR_ERR_SYSTEM_ERROR, _FROM_STREAMS, "cannot write to stream: Input/output error"
    async with stage.open() as stream:
        await stage.hear_out(stream)
        await asyncio.to_thread(stage.domain.destroy)
        await until(lambda: stream.recv(100) == b"")
        if stage.remote:
            assert stream.send(b"x") == 1
            assert failure(stream.abort) == closed
        else:
            assert failure(stream.send, b"x") == closed
            assert stream.abort() == 0
