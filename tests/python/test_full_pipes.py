"""The write end of a pipe that is full: what is queued, and what a protocol writes when it may go on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.python.loops import run_turns
from tests.python.recorder import Notebook

FULL = 65_536  # a pipe's room, and asyncio's high-water mark
QUEUED = b"a" * (2 * FULL + 1)  # of which a pipe takes FULL, so that the protocol is paused


class Writer(Notebook, asyncio.BaseProtocol):
    """Writes down what it is told, and does something when it may go on."""

    def __init__(self, on_resume: Callable[[Any], None] = lambda _: None) -> None:
        super().__init__()
        self.on_resume = on_resume
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def pause_writing(self) -> None:
        self.tell("pause")

    def resume_writing(self) -> None:
        self.tell("resume")
        self.on_resume(self.transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.tell(("lost", type(exc)))


class Pipe:
    """The read end of a pipe, read by hand."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)

    def read(self, most: int = FULL) -> bytes:
        """What is there: empty if nothing is, or the write end is closed."""
        try:
            return os.read(self.reading, most)
        except BlockingIOError:
            return b""

    async def read_all(self, count: int) -> bytes:
        """That many bytes, while the loop goes on."""
        data = b""
        while len(data) < count:
            data += self.read()
            await asyncio.sleep(0)
        return data


def run(main: Callable[[Any, Pipe], Awaitable[None]]) -> None:
    async def body() -> None:
        pipe = Pipe()
        await asyncio.wait_for(main(asyncio.get_running_loop(), pipe), 60)
        os.close(pipe.reading)

    asyncio.run(body())


async def connect(loop: Any, pipe: Pipe, writer: Writer) -> Any:
    transport, _ = await loop.connect_write_pipe(lambda: writer, os.fdopen(pipe.writing, "wb", 0))
    return transport


def test_a_protocol_that_goes_on_sees_sizes_as_if_all_was_sent_at_once(backend: str) -> None:
    sizes: list[int] = []

    def go_on(transport: Any) -> None:
        for piece in (b"b" * 1_000, b"c" * 1_000, b"d" * 100_000):
            transport.write(piece)
            sizes.append(transport.get_write_buffer_size())

    async def main(loop: Any, pipe: Pipe) -> None:
        writer = Writer(go_on)
        transport = await connect(loop, pipe, writer)
        transport.write(QUEUED)
        assert transport.get_write_buffer_size() == FULL + 1
        expected = QUEUED + b"b" * 1_000 + b"c" * 1_000 + b"d" * 100_000
        assert await pipe.read_all(len(expected)) == expected
        assert sizes[:2] == [0, 0]
        assert 0 < sizes[2] < 100_000
        assert writer.told == ["pause", "resume"]
        transport.close()
        await writer.until(lambda: writer.told[-1] == ("lost", type(None)))

    run(main)


@pytest.mark.parametrize("size", [1, 1_000, FULL, FULL + 1])
def test_nothing_is_lost_or_reordered_when_a_protocol_writes_till_it_is_paused(backend: str, size: int) -> None:
    pieces = [bytes([number % 251]) * size for number in range(300)]
    left = iter(pieces)

    def go_on(transport: Any) -> None:
        told = len(writer.told)
        for piece in left:
            transport.write(piece)
            if len(writer.told) > told:  # paused
                break

    writer = Writer(go_on)

    async def main(loop: Any, pipe: Pipe) -> None:
        transport = await connect(loop, pipe, writer)
        transport.write(QUEUED)
        expected = QUEUED + b"".join(pieces)
        assert await pipe.read_all(len(expected)) == expected
        pairs = len(writer.told) // 2
        assert writer.told == ["pause", "resume"] * pairs
        assert pairs > 1 or size < FULL
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await writer.until(lambda: writer.told[-1] == ("lost", type(None)))

    run(main)


def test_what_is_mutable_is_copied_when_it_is_queued(backend: str) -> None:
    async def main(loop: Any, pipe: Pipe) -> None:
        transport = await connect(loop, pipe, Writer())
        mutable = bytearray(b"before")
        for data in (QUEUED, mutable, memoryview(mutable), b"end"):
            transport.write(data)
        mutable[:] = b"after!"
        expected = QUEUED + b"before" * 2 + b"end"
        assert await pipe.read_all(len(expected)) == expected
        transport.close()

    run(main)


def test_abort_drops_what_is_queued(backend: str) -> None:
    async def main(loop: Any, pipe: Pipe) -> None:
        writer = Writer()
        transport = await connect(loop, pipe, writer)
        transport.write(QUEUED)
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        await writer.until(lambda: ("lost", type(None)) in writer.told)
        assert writer.told == ["pause", ("lost", type(None))]
        assert pipe.read(len(QUEUED)) == QUEUED[:FULL]

    run(main)


def test_what_ends_the_program_in_resume_writing_leaves_the_loop_behind_the_data(loop: Any) -> None:
    def go_on(transport: Any) -> None:
        transport.write(b"last")
        raise SystemExit(3)

    pipe, writer = Pipe(), Writer(go_on)
    transport = loop.run_until_complete(connect(loop, pipe, writer))
    transport.write(QUEUED)
    data = pipe.read()
    with pytest.raises(SystemExit):
        while True:
            run_turns(loop)
            data += pipe.read()
    assert data + pipe.read() == QUEUED + b"last"
    transport.abort()
    run_turns(loop, 3)
    assert writer.told == ["pause", "resume", ("lost", type(None))]
    os.close(pipe.reading)


# ---- where asyncio's own transport calls connection_lost() twice, and loses what was queued --------------------------


@pytest.mark.parametrize("backend", ["triga"], indirect=True)
def test_a_protocol_that_writes_and_closes_when_it_may_go_on_has_all_sent(backend: str) -> None:
    def go_on(transport: Any) -> None:
        transport.write(b"b" * 100_000)
        transport.close()
        transport.write(b"too late")

    async def main(loop: Any, pipe: Pipe) -> None:
        writer = Writer(go_on)
        transport = await connect(loop, pipe, writer)
        transport.write(QUEUED)
        assert await pipe.read_all(len(QUEUED) + 100_000) == QUEUED + b"b" * 100_000
        await writer.until(lambda: len(writer.told) > 2)
        await asyncio.sleep(0)
        assert writer.told == ["pause", "resume", ("lost", type(None))]
        assert pipe.read() == b""

    run(main)


@pytest.mark.parametrize("backend", ["triga"], indirect=True)
def test_a_reader_that_goes_while_the_protocol_goes_on_ends_the_writer_once(backend: str) -> None:
    async def main(loop: Any, pipe: Pipe) -> None:
        def go_on(transport: Any) -> None:
            os.close(pipe.reading)
            transport.write(b"to nobody")

        writer = Writer(go_on)
        transport = await connect(loop, pipe, writer)
        transport.write(QUEUED)
        while "resume" not in writer.told:
            pipe.read()
            await asyncio.sleep(0)
        await writer.until(lambda: len(writer.told) > 2)
        for _ in range(3):
            await asyncio.sleep(0)
        assert writer.told == ["pause", "resume", ("lost", BrokenPipeError)]
        pipe.reading = os.open(os.devnull, os.O_RDONLY)

    run(main)
