"""Pipes, subprocesses and names on asyncio's own loop and on triga's: one body, the same outcome."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import triga
from tests.python.recorder import Notebook

pytestmark = pytest.mark.usefixtures("backend")


def run(main: Callable[[Any], Awaitable[None]]) -> None:
    async def body() -> None:
        await asyncio.wait_for(main(asyncio.get_running_loop()), 60)

    asyncio.run(body())


class Recorder(Notebook, asyncio.Protocol):
    """Writes down what it is told."""

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self.changed.set()

    def eof_received(self) -> None:
        self.tell("eof")

    def pause_writing(self) -> None:
        self.tell("pause")

    def resume_writing(self) -> None:
        self.tell("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.tell(("lost", type(exc)))


async def pipe(loop: Any) -> tuple[Any, Recorder, Any, Recorder]:
    reading, writing = os.pipe()
    receiver, receives = await loop.connect_read_pipe(Recorder, os.fdopen(reading, "rb", 0))
    sender, sends = await loop.connect_write_pipe(Recorder, os.fdopen(writing, "wb", 0))
    return receiver, receives, sender, sends


def test_data_goes_through_a_pipe(native: bool) -> None:
    async def main(loop: Any) -> None:
        receiver, receives, sender, sends = await pipe(loop)
        for piece in (b"bytes ", bytearray(b"bytearray "), memoryview(b"view"), b""):
            sender.write(piece)
        await receives.until(lambda: receives.data == b"bytes bytearray view")
        assert "_UnixReadPipeTransport" in repr(receiver)
        assert "_UnixWritePipeTransport" in repr(sender)
        sender.close()
        await receives.until(lambda: len(receives.told) == 2)
        assert receives.told == ["eof", ("lost", type(None))]
        await sends.until(lambda: bool(sends.told))
        assert sends.told == [("lost", type(None))]

    before = triga.stats()["bytes_written"]
    run(main)
    assert (triga.stats()["bytes_written"] - before >= len(b"bytes ")) is native


def test_what_a_pipe_does_not_take_is_queued_in_order_and_the_protocol_paused() -> None:
    pieces = [bytes([number]) * 50_000 for number in range(20)]

    async def main(loop: Any) -> None:
        receiver, receives, sender, sends = await pipe(loop)
        receiver.pause_reading()
        for piece in pieces:
            sender.write(piece)
        assert sends.told == ["pause"]
        assert sender.get_write_buffer_size() > 0
        receiver.resume_reading()
        await receives.until(lambda: len(receives.data) == 1_000_000)
        assert receives.data == b"".join(pieces)
        await sends.until(lambda: sends.told[1:] == ["resume"])
        sender.close()
        await receives.until(lambda: len(receives.told) == 2)

    run(main)


def test_large_and_small_pieces_arrive_whole() -> None:
    async def main(loop: Any) -> None:
        receiver, receives, sender, _ = await pipe(loop)
        expected = b""
        for size in (60_000, 60_000, 33_000, 10, 60_000, 1, 300_000, 1):
            piece = os.urandom(size)
            expected += piece
            sender.write(piece)
            await receives.until(lambda: len(receives.data) == len(expected))  # noqa: B023  # done before the next one
        assert receives.data == expected
        sender.close()
        await receives.until(lambda: len(receives.told) == 2)
        receiver.close()

    run(main)


def test_a_reader_that_is_gone_ends_the_writer() -> None:
    async def main(loop: Any) -> None:
        receiver, receives, sender, sends = await pipe(loop)
        receiver.close()
        await receives.until(lambda: bool(receives.told))
        sender.write(b"to nobody")
        await sends.until(lambda: bool(sends.told))
        assert sends.told == [("lost", BrokenPipeError)]
        sender.write(b"after the end")

    run(main)


def test_wrong_arguments_of_write_raise_as_ever() -> None:
    async def main(loop: Any) -> None:
        receiver, receives, sender, _ = await pipe(loop)
        with pytest.raises(AssertionError):
            sender.write("text")
        with pytest.raises(TypeError):
            sender.write()
        sender.write(data=b"named")
        await receives.until(lambda: receives.data == b"named")
        sender.close()
        await receives.until(lambda: len(receives.told) == 2)
        receiver.close()

    run(main)


def test_what_a_protocol_raises_is_reported_and_the_pipe_goes_on() -> None:
    async def main(loop: Any) -> None:
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, context: reports.append(type(context["exception"])))
        receiver, receives, sender, _ = await pipe(loop)
        receive, receives.data_received = receives.data_received, lambda data: 1 // 0  # type: ignore[method-assign]
        sender.write(b"bad")
        while not reports:
            await asyncio.sleep(0)
        receives.data_received = receive  # type: ignore[method-assign]
        sender.write(b"good")
        await receives.until(lambda: receives.data == b"good")
        assert reports == [ZeroDivisionError]
        sender.close()
        await receives.until(lambda: len(receives.told) == 2)
        receiver.close()

    run(main)


def test_a_subprocess_is_talked_to() -> None:
    async def main(loop: Any) -> None:
        program = (
            "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); sys.exit(len(data) % 100)"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        data = os.urandom(300_042)
        out, _ = await process.communicate(data)
        assert out == data[::-1]
        assert process.returncode == 42

    run(main)


def test_addresses_in_numbers_need_no_thread(native: bool) -> None:
    async def main(loop: Any) -> None:
        refused: list[Any] = []
        if native:
            loop.run_in_executor = lambda *_: refused.append(1)
        for host, port, options in (
            ("127.0.0.1", 80, {}),
            ("127.0.0.1", None, {"type": socket.SOCK_STREAM}),
            ("::1", 80, {"type": socket.SOCK_DGRAM}),
            ("fe80::1%lo", 80, {"proto": socket.IPPROTO_TCP}),
            ("127.0.0.1", 80, {"flags": socket.AI_CANONNAME}),
        ):
            assert await loop.getaddrinfo(host, port, **options) == socket.getaddrinfo(host, port, **options)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET6)
        assert refused == []

    run(main)


def test_names_are_resolved_in_the_executor() -> None:
    async def main(loop: Any) -> None:
        assert await loop.getaddrinfo("localhost", "80", type=socket.SOCK_STREAM) == socket.getaddrinfo(
            "localhost", "80", type=socket.SOCK_STREAM
        )

    run(main)
