"""Stream transports: one body on asyncio's own loop and on triga's, so that what is asserted is what asyncio does."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import random
import socket
import struct
import subprocess
import sys
import textwrap
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import triga

pytestmark = pytest.mark.usefixtures("backend")


# Faults of asyncio's own transport that its tests here have to leave alone.
KEEPS_VIEWS = sys.version_info >= (3, 12)  # of a queued bytearray, so that later changes of it are sent
HAS_FAULTS_UNTIL_3_14 = (3, 12) <= sys.version_info < (3, 14)  # writelines() with empty chunks, and after the end


class Recorder(asyncio.Protocol):
    """Writes down what it is told, and wakes who waits for a change."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.data = b""
        self.changed = asyncio.Event()
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None

    def tell(self, what: Any) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until what was told makes the condition true."""
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 30)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.tell("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self.tell(len(data))

    def eof_received(self) -> bool | None:
        self.tell("eof")
        return None

    def pause_writing(self) -> None:
        self.tell("pause")

    def resume_writing(self) -> None:
        self.tell("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.tell("lost")
        self.lost.set_result(exc)


async def connected(factory: Callable[[], Any] = Recorder) -> tuple[Any, Any, socket.socket]:
    """A transport and its protocol over one end of a socket pair, and the other end, a blocking socket."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(30)
    transport, protocol = await asyncio.get_running_loop().create_connection(factory, sock=near)
    return transport, protocol, far


async def drain(far: socket.socket, size: int) -> bytes:
    """Receives until there are `size` bytes or the end, without keeping the loop from its work."""
    parts: list[bytes] = []
    while size > 0 and (part := await asyncio.to_thread(far.recv, 65536)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def small_buffers(*socks: Any) -> None:
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def reset(sock: socket.socket) -> None:
    """Closes a TCP connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture
def run() -> Iterator[Callable[[Any], Any]]:
    """Runs a coroutine on a new loop and fails on anything that its exception handler was told."""
    reports: list[dict[str, Any]] = []

    def run_one(main: Any, expected_reports: int = 0) -> Any:
        async def body() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            return await main(reports) if expected_reports else await main()

        result = asyncio.run(body())
        assert len(reports) == expected_reports, reports
        return result

    yield run_one
    gc.collect()


def test_the_bytes_go_through_the_core(backend: str, run: Any) -> None:
    before = triga.stats()

    async def main() -> None:
        transport, protocol, far = await connected()
        far.sendall(b"ping")
        await protocol.until(lambda: protocol.data == b"ping")
        transport.write(b"pong!")
        assert far.recv(10) == b"pong!"
        transport.close()
        await protocol.lost
        far.close()

    run(main)
    moved = {name: triga.stats()[name] - before[name] for name in ("bytes_read", "bytes_written")}
    assert moved == (
        {"bytes_read": 4, "bytes_written": 5} if backend == "triga" else {"bytes_read": 0, "bytes_written": 0}
    )


def test_the_transport_is_an_asyncio_transport_with_its_extra_information(run: Any) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        transport: Any
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, *address)
        assert isinstance(transport, asyncio.Transport)
        assert transport.get_extra_info("peername") == address
        assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
        assert type(transport.get_extra_info("socket")).__name__ == "TransportSocket"
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", default=3) == transport.get_extra_info("nothing", 3) == 3
        assert transport.get_protocol() is protocol
        assert type(transport).__name__ == "_SelectorSocketTransport"
        assert repr(transport) == (
            f"<_SelectorSocketTransport fd={transport.get_extra_info('socket').fileno()} "
            "read=polling write=<idle, bufsize=0>>"
        )
        setattr(transport, "note", "an attribute of one's own")  # noqa: B010  # mypy knows no such attribute
        assert weakref.ref(transport)() is transport
        transport.close()
        assert "closing" in repr(transport)
        await protocol.lost
        assert "closed" in repr(transport)
        server.close()
        await server.wait_closed()

    run(main)


def test_writes_take_every_kind_of_bytes_and_refuse_others(backend: str, run: Any) -> None:
    if backend == "stdlib" and HAS_FAULTS_UNTIL_3_14:
        pytest.skip("asyncio never drains an empty chunk (gh-155888)")

    async def main() -> None:
        transport, protocol, far = await connected()
        for data in (b"a", bytearray(b"b"), memoryview(b"c"), memoryview(b"xdx")[1:2], b""):
            transport.write(data)
        transport.writelines([b"e", bytearray(b"f"), memoryview(b"g"), b""])
        transport.writelines(())
        assert await drain(far, 7) == b"abcdefg"
        with pytest.raises(TypeError, match=r"data argument must be a bytes.* not 'str'"):
            transport.write("text")
        with pytest.raises(TypeError):
            transport.writelines([1])
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_queued_writes_keep_their_order_and_do_not_see_later_changes(backend: str, run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        small_buffers(far, transport.get_extra_info("socket"))
        generator = random.Random(7)
        expected = bytearray()
        for number in range(400):
            piece = bytearray(generator.randbytes(generator.randrange(1, 3000)))
            expected += piece
            kind = number % 3
            if kind == 0:
                transport.write(bytes(piece))
            elif kind == 1:
                transport.write(piece)
                if backend == "triga" or not KEEPS_VIEWS:
                    piece[:] = b"!" * len(piece)
            else:
                transport.writelines([bytes(piece[:5]), bytes(piece[5:])])
        assert transport.get_write_buffer_size() > 0
        assert await drain(far, len(expected)) == expected
        await protocol.until(lambda: "resume" in protocol.told)
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_a_slow_reader_pauses_and_resumes_the_protocol(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        small_buffers(far, transport.get_extra_info("socket"))
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=30000, low=1000)
        assert transport.get_write_buffer_limits() == (1000, 30000)
        transport.write(b"x" * 100_000)
        transport.write(b"y" * 100_000)
        assert protocol.told == ["made", "pause"]
        assert len(await drain(far, 200_000)) == 200_000
        await protocol.until(lambda: "resume" in protocol.told)
        assert protocol.told == ["made", "pause", "resume"]
        with pytest.raises(ValueError, match=r"high \(5\) must be >= low \(10\)"):
            transport.set_write_buffer_limits(high=5, low=10)
        transport.abort()
        await protocol.lost
        far.close()

    run(main)


def test_half_close_sends_the_rest_and_goes_on_receiving(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        small_buffers(far, transport.get_extra_info("socket"))
        assert transport.can_write_eof()
        transport.write(b"x" * 100_000)
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
            transport.write(b"more")
        assert len(await drain(far, 100_001)) == 100_000
        far.sendall(b"answer")
        await protocol.until(lambda: protocol.data == b"answer")
        far.close()
        assert await protocol.lost is None
        assert protocol.told[-2:] == ["eof", "lost"]

    run(main)


def test_eof_with_a_true_answer_keeps_the_writing_end_open(run: Any) -> None:
    class Keeper(Recorder):
        def eof_received(self) -> bool | None:
            super().eof_received()
            return True

    async def main() -> None:
        transport, protocol, far = await connected(Keeper)
        far.shutdown(socket.SHUT_WR)
        await protocol.until(lambda: "eof" in protocol.told)
        assert not transport.is_closing()
        transport.write(b"still here")
        assert far.recv(100) == b"still here"
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_close_sends_what_is_queued_and_abort_does_not(run: Any) -> None:
    async def main() -> None:
        for end in ("close", "abort"):
            transport, protocol, far = await connected()
            small_buffers(far, transport.get_extra_info("socket"))
            transport.write(b"x" * 100_000)
            getattr(transport, end)()
            assert transport.is_closing()
            assert not protocol.lost.done()  # told from the loop, never from within the call
            received = await drain(far, 100_001)
            assert (len(received) == 100_000) == (end == "close")
            assert await protocol.lost is None
            transport.close()
            assert protocol.told.count("lost") == 1
            far.close()

    run(main)


def test_pausing_keeps_the_bytes_until_resumed(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        far.sendall(b"waiting")
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        await protocol.until(lambda: protocol.data == b"waiting")
        transport.close()
        assert not transport.is_reading()
        await protocol.lost
        far.close()

    run(main)


def test_a_callback_queued_before_the_poll_runs_before_the_data(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        loop = asyncio.get_running_loop()
        order: list[str] = []
        protocol.data_received = lambda data: order.append("data")
        far.sendall(b"x")
        loop.call_soon(order.append, "first")
        loop.call_soon(lambda: loop.call_soon(order.append, "second"))
        while "data" not in order:
            await asyncio.sleep(0)
        assert order.index("first") < order.index("data")
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_a_pause_queued_before_the_poll_holds_the_data_back(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        far.sendall(b"x")
        asyncio.get_running_loop().call_soon(transport.pause_reading)
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.data == b""
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_callbacks_run_in_the_context_that_made_the_transport(run: Any) -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen: list[str] = []

    class Seer(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            seen.append(variable.get())

        def data_received(self, data: bytes) -> None:
            seen.append(variable.get())
            variable.set("changed by the protocol")
            super().data_received(data)

        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)

    async def main() -> None:
        variable.set("inside")
        transport, protocol, far = await connected(Seer)
        variable.set("later")
        far.sendall(b"1")
        await protocol.until(lambda: protocol.data == b"1")
        assert variable.get() == "later"
        transport.close()
        await protocol.lost
        far.close()

    run(main)
    assert seen == ["inside", "inside"]


class Buffered(asyncio.BufferedProtocol):
    """Receives into one bytearray of its own."""

    def __init__(self) -> None:
        self.memory = bytearray(1000)
        self.data = b""
        self.asked: list[int] = []
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        self.asked.append(sizehint)
        return memoryview(self.memory)

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.memory[:nbytes]
        self.memory.extend(b"\0")  # no export of the memory may be left

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


def test_a_buffered_protocol_receives_into_its_own_memory(run: Any) -> None:
    class Own(Buffered):
        def get_buffer(self, sizehint: int) -> Any:
            self.asked.append(sizehint)
            return self.memory

    async def main() -> None:
        _transport, protocol, far = await connected(Own)
        expected = random.Random(3).randbytes(50_000)
        far.sendall(expected)
        far.close()
        assert await protocol.lost is None
        assert protocol.data == expected
        assert set(protocol.asked) == {-1}

    run(main)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"get_buffer": lambda size: bytearray(0)}, "Fatal error: protocol.get_buffer() call failed."),
        ({"get_buffer": lambda size: 1 / 0}, "Fatal error: protocol.get_buffer() call failed."),
        ({"get_buffer": lambda size: b"read only"}, "Fatal read error on socket transport"),
        ({"buffer_updated": lambda size: 1 / 0}, "Fatal error: protocol.buffer_updated() call failed."),
    ],
)
def test_what_a_buffered_protocol_raises_ends_the_transport(run: Any, broken: dict[str, Any], message: str) -> None:
    async def main(reports: list[dict[str, Any]]) -> None:
        transport, protocol, far = await connected(Buffered)
        for name, function in broken.items():
            setattr(protocol, name, function)
        far.sendall(b"x")
        exc = await protocol.lost
        assert (reports[0]["message"], reports[0]["exception"]) == (message, exc)
        assert reports[0]["transport"] is transport
        assert reports[0]["protocol"] is protocol
        far.close()

    run(main, expected_reports=1)


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_what_a_protocol_raises_ends_the_transport(run: Any, method: str) -> None:
    async def main(reports: list[dict[str, Any]]) -> None:
        _transport, protocol, far = await connected()
        error = ZeroDivisionError("of the protocol's own")

        def fail(*_: object) -> None:
            raise error

        setattr(protocol, method, fail)
        if method == "data_received":
            far.sendall(b"x")
        else:
            far.shutdown(socket.SHUT_WR)
        assert await protocol.lost is error
        assert reports[0]["message"] == f"Fatal error: protocol.{method}() call failed."
        far.close()

    run(main, expected_reports=1)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_from_a_protocol_leave_the_loop_and_not_the_transport(kind: type[BaseException]) -> None:
    loop = asyncio.new_event_loop()

    async def open_one() -> tuple[Any, Any, socket.socket]:
        return await connected()

    try:
        transport, protocol, far = loop.run_until_complete(open_one())

        def leave(data: bytes) -> None:
            raise kind("from the protocol")

        received, protocol.data_received = protocol.data_received, leave
        far.sendall(b"x")
        with pytest.raises(kind, match="from the protocol"):
            loop.run_forever()
        assert not transport.is_closing()
        protocol.data_received = received
        far.sendall(b"y")
        loop.run_until_complete(protocol.until(lambda: protocol.data == b"y"))
        transport.close()
        loop.run_until_complete(protocol.lost)
        far.close()
    finally:
        loop.close()


def test_what_pause_writing_raises_is_reported_and_the_transport_lives(run: Any) -> None:
    async def main(reports: list[dict[str, Any]]) -> None:
        transport, protocol, far = await connected()
        small_buffers(far, transport.get_extra_info("socket"))
        protocol.pause_writing = lambda: 1 / 0
        transport.write(b"x" * 200_000)
        assert reports[0]["message"] == "protocol.pause_writing() failed"
        assert not transport.is_closing()
        assert len(await drain(far, 200_000)) == 200_000
        transport.close()
        await protocol.lost
        far.close()

    run(main, expected_reports=1)


def test_a_reset_is_told_with_its_errno(run: Any) -> None:
    async def main() -> None:
        made = asyncio.get_running_loop().create_future()

        class Server(Recorder):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                made.set_result(self)

        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        protocol = await made
        reset(client)
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert "eof" not in protocol.told
        server.close()
        await server.wait_closed()

    run(main)


def test_writes_to_a_vanished_peer_end_the_transport_and_are_logged_later(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        transport.pause_reading()
        far.close()
        transport.write(b"x")
        assert transport.is_closing()
        for _ in range(6):
            transport.write(b"lost")
        assert isinstance(await protocol.lost, BrokenPipeError)

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main)
    assert [record.message for record in caplog.records] == ["socket.send() raised exception."] * 2


async def forgotten(paused: bool) -> tuple[int, weakref.ref[Any], socket.socket]:
    """The descriptor of a transport that nobody holds, a reference to it, and the other end."""
    transport, _, far = await connected(asyncio.Protocol)
    if paused:
        transport.pause_reading()
    return transport.get_extra_info("socket").fileno(), weakref.ref(transport), far


def assert_gone(fd: int, transport: weakref.ref[Any], warned: list[warnings.WarningMessage]) -> None:
    """One warning, its socket closed; and it goes when the warning, which holds it as its source, is forgotten."""
    texts = [str(warning.message) for warning in warned]
    assert sum(text.startswith("unclosed transport <_SelectorSocketTransport fd=") for text in texts) == 1, texts
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    warned.clear()
    gc.collect()
    assert transport() is None


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "reading in a loop that closes"])
def test_an_unclosed_transport_warns_and_closes_its_socket(paused: bool) -> None:
    loop = asyncio.new_event_loop()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fd, transport, far = loop.run_until_complete(forgotten(paused))
        gc.collect()
        assert bool(warned) == paused  # a reading one is kept by its loop
        loop.close()
        gc.collect()
    assert_gone(fd, transport, warned)
    far.close()


def test_a_transport_nobody_holds_lives_while_it_reads(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        protocol.transport = None
        del transport
        gc.collect()
        far.sendall(b"x")
        await protocol.until(lambda: protocol.data == b"x")
        far.close()
        await protocol.lost

    run(main)


def test_what_is_called_after_the_end_does_no_harm(backend: str, run: Any) -> None:
    if backend == "stdlib":
        pytest.skip("asyncio's own raises AttributeErrors of None here, other ones in other versions")

    async def main() -> None:
        transport, protocol, far = await connected()
        small_buffers(far, transport.get_extra_info("socket"))
        transport.write(b"x" * 200_000)
        assert protocol.told[-1] == "pause"
        transport.abort()
        await protocol.lost
        far.close()
        for call in ("close", "abort", "pause_reading", "resume_reading", "write_eof", "_read_ready", "_add_reader"):
            assert getattr(transport, call)() is None
        transport.write(b"x")
        transport.writelines([b"x"])
        transport.set_write_buffer_limits(high=0)
        assert transport.get_protocol() is None
        assert transport.get_write_buffer_size() == 0
        with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
            transport._maybe_resume_protocol()

    run(main)


def test_no_cycle_keeps_a_closed_transport(backend: str, run: Any) -> None:
    if backend == "stdlib":
        pytest.skip("asyncio's own transport refers to itself until 3.14")

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            transport, protocol, far = await connected()
            far.close()
            await protocol.lost
            reference = weakref.ref(transport)
            protocol.transport = None
            del transport, protocol
            await asyncio.sleep(0)
            assert reference() is None
        finally:
            gc.enable()

    run(main)


def test_large_messages_arrive_whole(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        expected = random.Random(5).randbytes(3_000_000)
        sender = asyncio.create_task(asyncio.to_thread(far.sendall, expected))
        await protocol.until(lambda: len(protocol.data) == len(expected))
        await sender
        assert protocol.data == expected
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_start_tls_and_sendfile_stand_on_the_transport(run: Any, tmp_path: Path) -> None:
    content = random.Random(9).randbytes(500_000)
    path = tmp_path / "content"
    path.write_bytes(content)

    async def main() -> None:
        transport, protocol, far = await connected()
        transport.write(b"head")
        receiving = asyncio.create_task(drain(far, len(content) + 8))
        with path.open("rb") as file:
            assert await asyncio.get_running_loop().sendfile(transport, file) == len(content)
        transport.write(b"tail")
        assert await receiving == b"head" + content + b"tail"
        far.sendall(b"and reading goes on")
        await protocol.until(lambda: protocol.data == b"and reading goes on")
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_a_unix_server_echoes(run: Any, tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        path = str(tmp_path / "socket")
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        data = random.Random(1).randbytes(100_000)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Echo(asyncio.Protocol):
    """Sends back what it gets, and tells a set of the living."""

    def __init__(self, alive: set[Any], ended: asyncio.Event) -> None:
        self.alive, self.ended = alive, ended

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.alive.add(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.alive.discard(self)
        self.ended.set()


def misbehave(address: Any, count: int) -> None:
    """Connections that send garbage, are reset, half-close, stall or vanish, one after another."""
    generator = random.Random(11)
    stalled = []
    for number in range(count):
        client = socket.create_connection(address, timeout=30)
        kind = number % 5
        if kind in (0, 1):
            client.sendall(generator.randbytes(generator.randrange(1, 20_000)))
        if kind == 1:
            reset(client)
        elif kind == 2:
            client.shutdown(socket.SHUT_WR)
            stalled.append(client)
        elif kind == 3:
            stalled.append(client)
        else:
            client.close()
    for client in stalled:
        client.close()


def test_a_thousand_connections_that_misbehave_leave_nothing_behind(run: Any) -> None:
    async def main() -> None:
        alive: set[Any] = set()
        ended = asyncio.Event()
        server = await asyncio.get_running_loop().create_server(lambda: Echo(alive, ended), "127.0.0.1", 0, backlog=500)
        address = server.sockets[0].getsockname()
        await asyncio.to_thread(misbehave, address, 1000)
        while alive:
            ended.clear()
            await asyncio.wait_for(ended.wait(), 30)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"still well")
        assert await reader.readexactly(10) == b"still well"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    gc.collect()
    before = descriptors()
    run(main)
    gc.collect()
    assert descriptors() == before


def test_more_connections_than_the_backlog_are_all_served(run: Any) -> None:
    """They all connect before the loop accepts any; what the kernel's queue has no room for, it lets try again."""
    count = 20

    async def main() -> None:
        alive: set[Any] = set()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Echo(alive, ended), "127.0.0.1", 0, backlog=4)
        address = server.sockets[0].getsockname()
        clients = [socket.socket() for _ in range(count)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(address)
        for client in clients:
            await loop.sock_connect(client, address) if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else None
            await loop.sock_sendall(client, b"hello")
            assert await loop.sock_recv(client, 10) == b"hello"
        for client in clients:
            client.close()
        while alive:
            ended.clear()
            await asyncio.wait_for(ended.wait(), 30)
        server.close()
        await server.wait_closed()

    run(main)


def test_random_operations_end_every_transport_once(backend: str, run: Any) -> None:
    """Any sequence of calls on both ends: every protocol is told of the end exactly once, after everything else."""
    seed = 20
    if backend == "stdlib" and HAS_FAULTS_UNTIL_3_14:
        pytest.skip("asyncio's writelines() after the end is a TypeError")

    async def main() -> None:
        generator = random.Random(seed)
        for _ in range(150):
            transport, protocol, far = await connected()
            small_buffers(far, transport.get_extra_info("socket"))
            far.setblocking(False)
            for _ in range(generator.randrange(1, 12)):
                action: Callable[[Any, Any], Any] = generator.choice(
                    [
                        lambda t, f: t.write(generator.randbytes(generator.randrange(1, 30_000))),
                        lambda t, f: t.writelines([b"x" * 10, b"y" * 10_000]),
                        lambda t, f: t.pause_reading(),
                        lambda t, f: t.resume_reading(),
                        lambda t, f: t.write_eof(),
                        lambda t, f: t.set_write_buffer_limits(high=generator.randrange(1, 50_000)),
                        lambda t, f: f.send(b"z" * 2000),
                        lambda t, f: f.recv(20_000),
                        lambda t, f: f.shutdown(socket.SHUT_WR),
                        lambda t, f: f.close(),
                        lambda t, f: t.close(),
                        lambda t, f: t.abort(),
                    ]
                )
                with contextlib.suppress(OSError, RuntimeError):  # the far end is closed, or write_eof() was called
                    action(transport, far)
                if generator.random() < 0.5:
                    await asyncio.sleep(0)
            far.close()
            transport.abort()
            await asyncio.wait_for(protocol.lost, 30)
            assert protocol.told.count("lost") == 1
            assert protocol.told[-1] == "lost"

    run(main)


def test_debug_mode_logs_what_asyncio_logs(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        transport.pause_reading()
        transport.resume_reading()
        far.close()
        await protocol.lost

    with caplog.at_level(logging.DEBUG, "asyncio"):
        asyncio.run(main(), debug=True)
    texts = [record.getMessage() for record in caplog.records]
    for ending in ("pauses reading", "resumes reading", "received EOF"):
        assert any(text.startswith("<_SelectorSocketTransport") and text.endswith(ending) for text in texts), ending


def test_sigpipe_of_a_vanished_peer_does_not_kill(backend: str) -> None:
    """With SIGPIPE's default action restored, a write to a closed peer is an error of the write all the same."""
    if backend == "stdlib":
        pytest.skip("asyncio sends without MSG_NOSIGNAL: there the process dies")
    program = """
        import asyncio, signal, socket
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        async def main():
            near, far = socket.socketpair()
            near.setblocking(False)
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=near)
            transport.pause_reading()
            far.close()
            transport.write(b"x")
            assert transport.is_closing()
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env={**os.environ, "TRIGA": "loop"}, timeout=60
    )
    assert done.returncode == 0
