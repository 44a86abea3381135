"""Streams: one body on asyncio's own classes and on triga's, so that what is asserted is what asyncio does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import random
import socket
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import triga

pytestmark = pytest.mark.usefixtures("backend")


def new_reader(limit: int = 2**16) -> Any:
    return asyncio.StreamReader(limit=limit, loop=asyncio.get_running_loop())


async def echo(reader: Any, writer: Any) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


# ---- what a read gives


def test_a_read_that_wants_all_passes_the_received_object_on(run: Any, backend: str) -> None:
    async def main() -> None:
        reader = new_reader()
        data = bytes(range(256)) * 8
        before = triga.stats()
        reader.feed_data(data)
        read = await reader.read(65536)
        assert read == data
        if backend == "triga":
            assert read is data
            assert triga.stats()["stream_passes"] == before["stream_passes"] + 1

    run(main)


def test_reads_in_pieces_of_every_size_give_what_was_fed(run: Any) -> None:
    async def main() -> None:
        source = random.Random(7)
        reader = new_reader()
        fed = read = b""
        for _ in range(400):
            piece = source.randbytes(source.choice([1, 10, 4095, 4096, 5000]))
            reader.feed_data(source.choice([bytes, bytearray, memoryview])(piece))
            fed += piece
            for _ in range(source.randrange(3)):
                if len(read) < len(fed):
                    read += await reader.read(source.choice([1, 100, 4096, 100_000]))
        reader.feed_eof()
        assert read + await reader.read() == fed
        assert reader.at_eof()

    run(main)


def test_lines_across_pieces(run: Any) -> None:
    async def main() -> None:
        lines = [b"x" * size + b"\n" for size in (0, 1, 5000, 20, 9000, 3)]
        reader = new_reader()
        whole = b"".join(lines) + b"rest"
        for at in range(0, len(whole), 4500):
            reader.feed_data(whole[at : at + 4500])
        reader.feed_eof()
        assert [line async for line in reader] == [*lines, b"rest"]

    run(main)


def test_readexactly_over_many_pieces_and_short_of_the_end(run: Any) -> None:
    async def main() -> None:
        reader = new_reader(limit=1024)
        task = asyncio.create_task(reader.readexactly(50_000))
        for _ in range(10):
            await asyncio.sleep(0)
            reader.feed_data(b"a" * 5000)
        assert await task == b"a" * 50_000
        reader.feed_data(b"abc")
        reader.feed_eof()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await reader.readexactly(4)
        assert (caught.value.partial, caught.value.expected) == (b"abc", 4)
        assert reader._buffer == b""

    run(main)


@pytest.mark.parametrize("found", [True, False])
def test_a_chunk_over_the_limit_stays_and_a_line_over_it_goes(run: Any, found: bool) -> None:
    async def main() -> None:
        reader = new_reader(limit=3)
        reader.feed_data(b"12345" + b"\n" * found)
        with pytest.raises(asyncio.LimitOverrunError) as caught:
            await reader.readuntil()
        assert caught.value.consumed == 5
        assert reader._buffer == b"12345" + b"\n" * found
        with pytest.raises(ValueError, match="limit"):
            await reader.readline()
        assert reader._buffer == b""

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a tuple of separators is 3.13's")
def test_the_separator_that_ends_first_counts(run: Any) -> None:
    async def main() -> None:
        reader = new_reader()
        reader.feed_data(b"one\r\ntwo\nthree\r")
        reader.feed_eof()
        separators = (b"\r\n", b"\n", b"\r")
        assert [await reader.readuntil(separators) for _ in range(3)] == [b"one\r", b"\n", b"two\n"]

    run(main)


@pytest.mark.parametrize("call", ["read(1.5)", "read('x')", "readuntil(5)", "readexactly(None)"])
def test_wrong_arguments_fail_when_awaited(run: Any, call: str) -> None:
    async def main() -> None:
        reader = new_reader()
        reader.feed_data(b"data")
        coroutine = eval(f"reader.{call}")
        with pytest.raises(TypeError):
            await coroutine

    run(main)


# ---- coroutines


def test_reads_take_data_in_the_order_they_are_awaited_in(run: Any) -> None:
    async def main() -> None:
        reader = new_reader()
        reader.feed_data(b"ab")
        first, second = reader.read(1), reader.read(1)
        assert await second == b"a"
        assert await first == b"b"

    run(main)


def test_they_are_coroutines_to_whoever_asks(run: Any) -> None:
    async def main() -> None:
        reader = new_reader()
        for method in (reader.read, reader.readline, reader.readuntil, reader.readexactly):
            assert inspect.iscoroutinefunction(method)
        assert inspect.iscoroutinefunction(asyncio.StreamWriter.drain)
        assert list(inspect.signature(reader.read).parameters) == ["n"]
        coroutine = reader.read(1)
        assert asyncio.iscoroutine(coroutine)
        assert coroutine.__qualname__ == "StreamReader.read"
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        assert "StreamReader.read" in repr(task)
        reader.feed_data(b"x")
        assert await task == b"x"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coroutine

    run(main)


def test_a_mock_of_the_class_has_coroutines_where_the_class_has(run: Any) -> None:
    async def main() -> None:
        writer = mock.MagicMock(spec=asyncio.StreamWriter)
        await writer.drain()
        writer.drain.assert_awaited_once()
        assert not inspect.iscoroutinefunction(writer.write)

    run(main)


def test_a_cancelled_read_takes_nothing_and_leaves_the_reader_free(run: Any) -> None:
    async def main() -> None:
        reader = new_reader()
        for cancelled in range(3):
            task = asyncio.create_task(reader.readexactly(4))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert reader._waiter is None
            reader.feed_data(b"x")
            assert len(reader._buffer) == cancelled + 1
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.readexactly(4), 0.001)
        assert await reader.read(10) == b"xxx"

    run(main)


def test_a_second_read_at_once_is_refused(run: Any) -> None:
    async def main() -> None:
        reader = new_reader()
        task = asyncio.create_task(reader.read(1))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"readuntil\(\) called while another coroutine is already waiting"):
            await reader.readline()
        reader.feed_eof()
        assert await task == b""

    run(main)


def test_send_throw_and_close_are_a_coroutines() -> None:
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        reader = asyncio.StreamReader(loop=loop)
        waiting = reader.read(1)
        with pytest.raises(TypeError, match="just-started"):
            waiting.send(1)
        assert asyncio.isfuture(waiting.send(None))
        with pytest.raises(ZeroDivisionError):
            waiting.throw(ZeroDivisionError)
        assert reader._waiter is None
        closed = reader.read(1)
        closed.send(None)
        closed.close()
        assert reader._waiter is None
        reader.feed_data(b"x")
        with pytest.raises(StopIteration) as caught:
            reader.read(1).send(None)
        assert caught.value.value == b"x"


def test_a_read_that_nobody_awaits_is_warned_of() -> None:
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        reader = asyncio.StreamReader(loop=loop)
        with pytest.warns(RuntimeWarning, match="coroutine 'StreamReader.read' was never awaited"):
            reader.read(1)
            gc.collect()


def test_a_forgotten_waiting_read_is_collected() -> None:
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        reader = asyncio.StreamReader(loop=loop)
        gone = weakref.ref(reader)
        reader.me = reader
        waiting = reader.read(1)
        waiting.send(None)
        reader.waiting = waiting
        del reader, waiting
        gc.collect()
        assert gone() is None


# ---- what programs and tests look at


def test_fields_are_there_to_read_and_to_write(run: Any) -> None:
    async def main() -> None:
        reader = new_reader(limit=10)
        assert (reader._limit, reader._eof, reader._paused, reader._waiter) == (10, False, False, None)
        assert reader._transport is None and reader.exception() is None
        reader.feed_data(b"abcdef")
        assert type(reader._buffer) is bytearray
        del reader._buffer[:2]
        reader.feed_data(b"gh")
        assert await reader.read(100) == b"cdefgh"
        reader._buffer = bytearray(b"put")
        assert await reader.readexactly(3) == b"put"
        reader._eof = True
        assert reader.at_eof()
        reader.set_exception(ValueError("said"))
        with pytest.raises(ValueError, match="said"):
            await reader.read(1)

    run(main)


def test_subclasses_may_replace_what_others_call(run: Any) -> None:
    class Shouting(asyncio.StreamReader):
        async def readuntil(self, separator: Any = b"\n") -> bytes:
            return (await super().readuntil(separator)).upper()

    async def main() -> None:
        reader = Shouting(loop=asyncio.get_running_loop())
        assert isinstance(reader, asyncio.StreamReader)
        reader.feed_data(b"one\ntwo\n")
        assert await reader.readline() == b"ONE\n"
        assert await reader.__anext__() == b"TWO\n"

    run(main)


def test_a_reader_that_is_too_full_pauses_its_transport(run: Any) -> None:
    async def main() -> None:
        reader = new_reader(limit=10)
        transport = mock.Mock(spec=asyncio.ReadTransport)
        reader.set_transport(transport)
        reader.feed_data(b"x" * 20)
        transport.pause_reading.assert_not_called()
        reader.feed_data(b"x")
        transport.pause_reading.assert_called_once_with()
        assert reader._paused
        await reader.read(10)
        transport.resume_reading.assert_not_called()
        await reader.read(1)
        transport.resume_reading.assert_called_once_with()
        assert not reader._paused

    run(main)


def test_a_transport_that_cannot_pause_is_forgotten(run: Any) -> None:
    async def main() -> None:
        reader = new_reader(limit=1)
        transport = mock.Mock()
        transport.pause_reading.side_effect = NotImplementedError
        reader.set_transport(transport)
        reader.feed_data(b"xxx")
        assert reader._transport is None
        assert await reader.read(9) == b"xxx"

    run(main)


# ---- connections


def test_echo_and_half_close(run: Any, backend: str) -> None:
    async def main() -> None:
        before = triga.stats()
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        payload = random.Random(1).randbytes(3_000_000)

        async def send() -> None:
            for at in range(0, len(payload), 100_000):
                writer.write(payload[at : at + 100_000])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read() == payload
        await sending
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        if backend == "triga":
            after = triga.stats()
            assert sum(after[name] - before[name] for name in ("stream_reads", "stream_passes")) > 10

    run(main)


def test_unix_streams(run: Any, tmp_path: Path) -> None:
    async def main() -> None:
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await echo(reader, writer)
            served.set()

        server = await asyncio.start_unix_server(serve, str(tmp_path / "socket"))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.writelines([b"a line", b"\n"])
        assert await reader.readline() == b"a line\n"
        writer.close()
        await writer.wait_closed()
        await served.wait()  # 3.12.1 reports a handler that is cancelled
        server.close()

    run(main)


def test_drain_waits_for_a_slow_reader_and_raises_when_it_goes(run: Any) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        _, writer = await asyncio.open_connection(sock=near)
        writer.write(b"x" * 4_000_000)
        draining = asyncio.create_task(writer.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        far.close()
        with pytest.raises(ConnectionError):
            await draining
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the warning is 3.12's")
def test_a_forgotten_writer_is_closed_and_warned_of(run: Any) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=near)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del reader, writer
            gc.collect()
            await asyncio.sleep(0)
        assert any("unclosed <StreamWriter" in str(each.message) for each in caught)
        assert await asyncio.to_thread(far.recv, 1) == b""
        far.close()

    run(main)


def test_uninstall_gives_asyncios_classes_back() -> None:
    with triga.installed():
        native = asyncio.StreamReader
        assert native is asyncio.streams.StreamReader
        assert native.__module__ == "asyncio.streams"
    if not triga.installed_parts():
        assert asyncio.StreamReader is not native
        assert asyncio.StreamReader is asyncio.streams.StreamReader
        assert issubclass(native, asyncio.StreamReader)
