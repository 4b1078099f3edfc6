"""What virtmuxd relies on of the streams of libvirt's consoles; see `libvirt_behaviours.py`."""

import asyncio
import gc
import threading
import weakref
from unittest import mock

import libvirt

from tests.harness.libvirt_subject import ERROR, NOTHING, READABLE, Behaviours, Ear, Subject, failure
from tests.harness.turns import turns, until

_FROM_RPC, _FROM_STREAMS = libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_STREAMS

STREAMS = Behaviours()


# Output.


@STREAMS.add()
async def where_the_guest_says_nothing_there_is_nothing(subject: Subject) -> None:
    async with subject.listening() as ear:
        assert ear.stream.recv(100) == NOTHING
        await turns()
        assert ear.calls == []


@STREAMS.add()
async def no_more_is_given_than_was_asked_for_and_the_rest_is_kept(subject: Subject) -> None:
    async with subject.open() as stream:
        await subject.hear_out(stream)
        subject.say(b"a line\n")
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
async def output_is_told_on_the_loop_and_again_as_long_as_some_is_left(subject: Subject) -> None:
    async with subject.listening(takes=False) as ear:
        subject.say(b"a line\n")
        await until(lambda: len(ear.calls) > 3)
        assert {call.events for call in ear.calls} == {READABLE}
        assert {call.thread for call in ear.calls} == {threading.get_ident()}
        ear.takes = True
        await until(lambda: ear.output == b"a line\n")
        told = len(ear.calls)
        await turns()
        assert len(ear.calls) == told


@STREAMS.add()
async def what_came_before_anybody_listened_is_told(subject: Subject) -> None:
    async with subject.listening(takes=False) as ear:
        subject.say(b"a line\n")
        await until(lambda: ear.calls)
        ear.leave()
        late = Ear(ear.stream)
        late.listen()
        await until(lambda: late.output == b"a line\n")
        late.leave()


# The callback.


@STREAMS.add()
async def who_has_removed_its_callback_is_told_nothing(subject: Subject) -> None:
    async with subject.listening(takes=False) as ear:
        subject.say(b"a line\n")
        await until(lambda: ear.calls)
        ear.leave()
        told = len(ear.calls)
        await turns()
        await subject.hear_out(ear.stream)
        assert len(ear.calls) == told


@STREAMS.add()
async def a_callback_may_remove_itself_and_be_there_again(subject: Subject) -> None:
    class Once(Ear):
        def _dispatchStreamEventCallback(self, events: int, opaque: object) -> int:  # noqa: N802
            super()._dispatchStreamEventCallback(events, opaque)
            self.leave()
            return 0

    async with subject.open() as stream:
        await subject.hear_out(stream)
        ear = Once(stream)
        for times in (1, 2):
            ear.listen()
            subject.say(b"a line\n")
            await until(lambda: len(ear.calls) == times)  # noqa: B023
            await subject.hear_out(stream)
            await turns()
            assert len(ear.calls) == times


@STREAMS.add()
async def there_is_one_callback_and_it_is_removed_once(subject: Subject) -> None:
    where = _FROM_RPC if subject.remote else _FROM_STREAMS
    async with subject.listening() as ear:
        assert Ear(ear.stream).listen() == -1
        error = libvirt.libvirtError("virStreamEventAddCallback() failed").err
        assert error[:2] == (libvirt.VIR_ERR_INTERNAL_ERROR, where)
        assert ear.stream.eventRemoveCallback() == 0
        refused = failure(ear.stream.eventRemoveCallback)
        assert refused is not None
        assert refused[:2] == (libvirt.VIR_ERR_INTERNAL_ERROR, where)


@STREAMS.add()
async def an_exception_in_a_callback_is_printed_and_ends_nothing(subject: Subject) -> None:
    class Clumsy(Ear):
        def _dispatchStreamEventCallback(self, events: int, opaque: object) -> int:  # noqa: N802
            super()._dispatchStreamEventCallback(events, opaque)
            raise ZeroDivisionError

    printed: list[object] = []
    with mock.patch("sys.excepthook", lambda kind, *_: printed.append(kind)):
        async with subject.open() as stream:
            await subject.hear_out(stream)
            ear = Clumsy(stream)
            ear.listen()
            for line in (b"one line\n", b"another\n"):
                subject.say(line)
                await until(lambda: ear.output.endswith(line))  # noqa: B023
            ear.leave()
    assert printed == [ZeroDivisionError] * len(ear.calls)


@STREAMS.add()
async def a_callback_that_was_removed_keeps_neither_its_stream_nor_the_connection(subject: Subject) -> None:
    connection = subject.connect()
    ear = Ear(subject.opened(connection))
    ear.listen()
    ear.leave()
    ear.stream.abort()
    freed = weakref.ref(ear.stream)
    await turns()
    ear.forget()
    assert freed() is None
    assert connection.close() == 0


@STREAMS.add()
async def that_of_the_binding_itself_keeps_both_over_rpc(subject: Subject) -> None:
    connection = subject.connect()
    stream = subject.opened(connection)
    stream.eventAddCallback(READABLE, lambda *_: None, None)
    stream.eventRemoveCallback()
    stream.abort()
    freed = weakref.ref(stream)
    del stream
    await turns()
    gc.collect()
    assert (freed() is None) is not subject.remote
    assert connection.close() == (1 if subject.remote else 0)


@STREAMS.add()
async def a_connection_is_not_closed_as_long_as_a_stream_is_there(subject: Subject) -> None:
    connection = subject.connect()
    stream = subject.opened(connection)
    assert connection.close() == 1
    stream.abort()


# Input.


@STREAMS.add()
async def input_reaches_the_guest_and_no_bytes_are_no_input(subject: Subject) -> None:
    async with subject.listening() as ear:
        assert ear.stream.send(b"typed\n") == 6
        await until(lambda: ear.output == b"typed\n")
        assert ear.stream.send(b"") == 0
        subject.say(b"said\n")
        await until(lambda: ear.output.endswith(b"said\n"))
        assert ear.output == b"typed\nsaid\n"


@STREAMS.add(exclusive=True)
async def a_paused_guest_is_sent_what_its_line_holds_and_over_rpc_more(subject: Subject) -> None:
    packet, most = b"x" * 2048, 8 if subject.remote else 32
    sent: list[int] = []
    async with subject.listening() as ear:
        await asyncio.to_thread(subject.domain.suspend)
        try:
            while NOTHING not in sent and len(sent) < most:
                sent.append(ear.stream.send(packet))
        finally:
            await asyncio.to_thread(subject.domain.resume)
        assert sent[:4] == [len(packet)] * 4
        if subject.remote:
            assert sent == [len(packet)] * most
        else:
            assert sent.pop() == NOTHING
        await until(lambda: len(ear.output) == sum(sent))


# Whose a console is.


@STREAMS.add(exclusive=True)
async def a_console_is_one_clients_until_it_is_aborted(subject: Subject) -> None:
    async with subject.open() as stream:
        refused = failure(subject.opened, subject.theirs)
        assert refused is not None
        assert refused[:2] == (libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_QEMU)
        await asyncio.to_thread(stream.abort)
        async with subject.open(subject.theirs) as theirs:
            await subject.hear_out(theirs)


@STREAMS.add(exclusive=False)
async def a_console_is_given_to_two_clients_and_by_force_to_none(subject: Subject) -> None:
    async with subject.open(), subject.open(subject.theirs):
        pass
    refused = failure(lambda: subject.opened(subject.ours, force=True))
    assert refused is not None
    assert refused[0] == libvirt.VIR_ERR_INVALID_ARG


@STREAMS.add(remote=True, exclusive=True)
async def a_connection_that_is_closed_gives_its_console_back(subject: Subject) -> None:
    connection = subject.connect()
    stream = subject.opened(connection)
    connection.close()
    del stream
    await until(lambda: failure(lambda: subject.opened(subject.theirs).abort()) is None)


@STREAMS.add(remote=False)
async def a_stream_of_this_process_gives_its_console_back_by_an_abort_alone(subject: Subject) -> None:
    connection = subject.connect()
    stream = subject.opened(connection)
    connection.close()
    del stream
    assert failure(subject.opened, subject.theirs) is not None
    async with subject.open(subject.theirs, force=True):
        pass


@STREAMS.add(remote=True, exclusive=True)
async def who_loses_a_console_by_force_is_told_by_recv(subject: Subject) -> None:
    lost = libvirt.VIR_ERR_RPC, _FROM_STREAMS, "stream had I/O failure"
    connection = subject.connect()  # an abort behind that may end it
    async with subject.listening(connection) as ear, subject.open(subject.theirs, force=True) as theirs:
        await until(lambda: ear.failed)
        assert ear.failed == lost
        assert ear.calls[-1] == (READABLE, threading.get_ident())
        assert failure(ear.stream.send, b"x") == lost
        assert connection.getLibVersion() > 0
        await subject.hear_out(theirs)
        assert await asyncio.to_thread(failure, ear.stream.abort) is not None
    connection.close()


@STREAMS.add(remote=False)
async def who_loses_a_console_by_force_in_this_process_is_told_by_the_event(subject: Subject) -> None:
    """In the thread of who takes it, and while there seems to be nothing wrong."""
    lost = libvirt.VIR_ERR_INTERNAL_ERROR, _FROM_STREAMS, "internal error: stream is not open"
    async with subject.listening() as ear, subject.open(subject.theirs, force=True) as theirs:
        (call,) = ear.calls
        assert call.events == ERROR
        assert call.thread != threading.get_ident()
        assert ear.failed is None
        assert failure(ear.stream.recv, 100) == failure(ear.stream.send, b"x") == lost
        assert ear.stream.abort() == 0
        await subject.hear_out(theirs)


@STREAMS.add(exclusive=True)
async def an_error_is_told_ahead_of_what_is_left(subject: Subject) -> None:
    connection = subject.connect()
    async with subject.listening(connection, takes=False) as ear:
        subject.say(b"a line\n")
        await until(lambda: ear.calls)
        async with subject.open(subject.theirs, force=True):
            await until(lambda: failure(ear.stream.send, b""))
            assert failure(ear.stream.recv, 100) is not None
    connection.close()


@STREAMS.add()
async def of_a_stream_that_was_aborted_nothing_can_be_had(subject: Subject) -> None:
    async with subject.open() as stream:
        assert stream.abort() == 0
        closed = failure(stream.recv, 100)
        assert closed is not None
        assert failure(stream.send, b"x") == closed
        if subject.remote:
            assert closed == failure(stream.abort)
            assert closed == (libvirt.VIR_ERR_OPERATION_FAILED, _FROM_RPC, "operation failed: stream is closed")
        else:
            assert closed == (libvirt.VIR_ERR_INTERNAL_ERROR, _FROM_STREAMS, "internal error: stream is not open")
            assert stream.abort() == 0


# The end.


@STREAMS.add()
async def the_end_comes_behind_output_as_no_bytes_and_is_told_until_nobody_listens(subject: Subject) -> None:
    async with subject.listening(takes=False) as ear:
        subject.say(b"a line\n")
        await until(lambda: ear.calls)
        await asyncio.to_thread(subject.domain.destroy)
        ear.takes = True
        await until(lambda: ear.ends > 3)
        assert b"a line\n".startswith(ear.output)
        assert ear.output or not subject.remote, "in the client it is safe, in the PTY it is not"
        assert {call.thread for call in ear.calls} == {threading.get_ident()}
        ear.leave()
        assert ear.stream.abort() == 0


@STREAMS.add()
async def the_end_is_told_to_who_comes_late(subject: Subject) -> None:
    async with subject.open() as stream:
        await subject.hear_out(stream)
        await asyncio.to_thread(subject.domain.destroy)
        await until(lambda: stream.recv(100) == b"")
        ear = Ear(stream)
        ear.listen()
        await until(lambda: ear.ends)
        ear.leave()
        assert stream.abort() == 0


@STREAMS.add(behind_the_end=True)
async def input_behind_the_end_fails_and_over_rpc_it_is_the_abort_that_does(subject: Subject) -> None:
    closed = libvirt.VIR_ERR_SYSTEM_ERROR, _FROM_STREAMS, "cannot write to stream: Input/output error"
    async with subject.open() as stream:
        await subject.hear_out(stream)
        await asyncio.to_thread(subject.domain.destroy)
        await until(lambda: stream.recv(100) == b"")
        if subject.remote:
            assert stream.send(b"x") == 1
            assert failure(stream.abort) == closed
        else:
            assert failure(stream.send, b"x") == closed
            assert stream.abort() == 0
