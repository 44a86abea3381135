"""Stream transports: one body on asyncio's own loop and on triga's, so that what is asserted is what asyncio does."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import socket
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

import triga
from tests.python.recorder import HAS_FAULTS_UNTIL_3_14, Buffered, Recorder, connected, drain, small_buffers
from triga._loop.transports import StreamTransport

pytestmark = pytest.mark.usefixtures("backend")


# Faults of asyncio's own transport that its tests here have to leave alone.
KEEPS_VIEWS = sys.version_info >= (3, 12)  # of a queued bytearray, so that later changes of it are sent


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


def test_a_connection_of_a_ready_made_socket_is_not_delayed(backend: str, run: Any) -> None:
    """socket.create_server()'s has ``proto`` 0, and so has whatever is accepted from it, though it is TCP."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[Any] = loop.create_future()

        class Accepted(Recorder):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                made.set_result(self)

        server = await loop.create_server(Accepted, sock=socket.create_server(("127.0.0.1", 0)))
        far = socket.create_connection(server.sockets[0].getsockname())
        protocol = await made
        if backend == "triga":  # asyncio goes by ``proto``
            assert protocol.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        far.close()
        await protocol.lost
        server.close()

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


def test_the_methods_of_a_socket_of_ones_own_class_are_called(native: bool, run: Any) -> None:
    """The websockets package has such a test. A class that overrides none of them has a native transport."""

    class Counting(socket.socket):
        calls: list[str]

        def recv(self, *args: Any) -> bytes:
            self.calls.append("recv")
            return super().recv(*args)

        def send(self, *args: Any) -> int:
            self.calls.append("send")
            return super().send(*args)

    class Plain(socket.socket):
        pass

    async def serve(kind: type[Counting | Plain]) -> None:
        near, far = socket.socketpair()
        own: Any = kind(fileno=near.detach())
        own.setblocking(False)
        own.calls = []
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=own)
        assert isinstance(transport, StreamTransport) == (native and kind is Plain)
        far.sendall(b"question")
        await protocol.until(lambda: protocol.data == b"question")
        transport.write(b"answer")
        transport.close()
        await protocol.lost
        assert far.recv(100) == b"answer"
        far.close()
        assert kind is Plain or {"recv", "send"} <= set(own.calls)

    run(lambda: serve(Counting))
    run(lambda: serve(Plain))
