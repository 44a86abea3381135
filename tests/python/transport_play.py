"""Plays the same random operations on asyncio's own transports and on triga's, and compares all that can be seen.

What both must agree on, after every operation: the protocol's callbacks in their order, the bytes, the exceptions that
the operation raised, the reports to the loop's exception handler, and the transport's state.

How much the kernel takes of a write, and in how many pieces it gives bytes out, is not the transports' doing. So
the operations leave no doubt: a write either fits the socket's buffer by far, or exceeds it by far and all limits
too; a far end that reads reads all; pieces that arrive one after the other count as one. The far end is a bare
descriptor that this module works in the same thread, and the kernel is asked (poll) until it has delivered what was
done there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import random
import select
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

KINDS = ("tcp", "unix", "read pipe", "write pipe")

Step = tuple[str, int]
Log = list[Any]

SMALL = 700
HUGE = 3_000_000  # beyond every buffer and limit used here
# A fault of asyncio's stream transport on 3.12 and 3.13: writelines() does not pause the protocol.
NEVER_PAUSES_FOR_LINES = (3, 12) <= sys.version_info < (3, 14)
QUIET_TURNS = 6  # without a callback: longer than any of the loops' chains of call_soon()
MILLISECONDS = 5000  # for the kernel to deliver what was done already

OF_STREAMS = {
    "write": 5,
    "write huge": 2,
    "write nothing": 1,
    "write bytearray": 2,
    "write text": 1,
    "writelines": 3,
    "writelines huge": 1,
    "write_eof": 1,
    "pause_reading": 3,
    "resume_reading": 3,
    "set_protocol": 1,
    "limits": 3,
    "close": 1,
    "abort": 1,
    "turn": 2,
    "far sends": 5,
    "far sends much": 1,
    "far drains": 4,
    "far ends": 1,
    "far closes": 1,
    "far resets": 1,
}
OF_READ_PIPES = dict.fromkeys(("pause_reading", "resume_reading", "set_protocol", "turn", "far sends"), 3) | {
    "far sends much": 1,
    "close": 1,
    "far closes": 1,
}
OF_WRITE_PIPES = {
    name: weight
    for name, weight in OF_STREAMS.items()
    if not name.startswith(("pause", "resume", "far")) and name != "write text"
} | {"far drains": 4, "far closes": 1}


def plan(kind: str, seed: int) -> list[Step]:
    """The operations of a seed, each with a number of its own to make its arguments of."""
    generator = random.Random(f"{kind} {seed}")
    weights = {"read pipe": OF_READ_PIPES, "write pipe": OF_WRITE_PIPES}.get(kind, OF_STREAMS)
    if NEVER_PAUSES_FOR_LINES:
        weights = {name: weight for name, weight in weights.items() if name != "writelines huge"}
    names = generator.choices(list(weights), list(weights.values()), k=generator.randrange(3, 16))
    return [(name, generator.randrange(1, 1 << 30)) for name in names]


class Witness(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self, log: Log, name: str = "") -> None:
        self.log = log
        self.name = name

    def tell(self, what: Any) -> None:
        self.log.append(f"{self.name}{what}")

    def connection_made(self, transport: Any) -> None:
        self.tell("connection_made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self.received(data)

    def received(self, data: bytes) -> None:
        mark = f"{self.name}data"
        if self.log and type(self.log[-1]) is list and self.log[-1][0] == mark:
            self.log[-1][1] += data
        else:
            self.log.append([mark, data])

    def eof_received(self) -> bool | None:
        self.tell("eof_received")
        return self.name == "open "  # one that goes on writing

    def pause_writing(self) -> None:
        self.tell("pause_writing")

    def resume_writing(self) -> None:
        self.tell("resume_writing")

    def connection_lost(self, error: BaseException | None) -> None:
        self.tell(f"connection_lost {named(error)}")


class BufferedWitness(Witness, asyncio.BufferedProtocol):  # type: ignore[misc]  # both have slots of their own in name only
    """The same by get_buffer()."""

    def __init__(self, log: Log, name: str = "") -> None:
        super().__init__(log, name)
        self.memory = bytearray(5000)

    def get_buffer(self, hint: int) -> bytearray:
        return self.memory

    def buffer_updated(self, count: int) -> None:
        self.received(bytes(self.memory[:count]))


def named(error: BaseException | None) -> str:
    """An exception as the log has it."""
    if isinstance(error, OSError):
        return f"{type(error).__name__} {errno.errorcode.get(error.errno or 0)}"
    return "None" if error is None else f"{type(error).__name__}: {error}"


class Play:
    """One transport, its far end, and what was seen of both."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind = kind
        self.log: Log = []
        self.seed = seed
        self.made = 0
        self.far_received = b""
        self.far_end = ""  # how the far end saw the connection end
        self.cut_off = False  # the transport ended with data queued
        self.near = -1
        self.far: Any = None
        self.transport: Any = None

    # ---- both ends

    def witness(self) -> Witness:
        self.made += 1
        kinds: list[Callable[[], Witness]] = [
            lambda: Witness(self.log),
            lambda: Witness(self.log, "open "),
            lambda: BufferedWitness(self.log, "buffered "),
        ]
        made = kinds[(self.seed + self.made) % (1 if self.kind == "read pipe" else 3)]()
        return made

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.log.append(f"reported: {context['message']}"))
        if self.kind.endswith("pipe"):
            reading, writing = os.pipe()
            ours, self.far = (reading, writing) if self.kind == "read pipe" else (writing, reading)
            os.set_blocking(self.far, False)
            file: Any = os.fdopen(ours, "rb" if self.kind == "read pipe" else "wb", 0)
            connect = loop.connect_read_pipe if self.kind == "read pipe" else loop.connect_write_pipe
            self.transport, _ = await connect(self.witness, file)
            return
        near, self.far = socket.socketpair() if self.kind == "unix" else tcp_pair()
        for each in near, self.far:
            each.setblocking(False)
        self.transport, _ = await loop.create_connection(self.witness, sock=near)

    def number(self) -> int:
        """The transport's descriptor, or -1 once it is closed."""
        if self.kind.endswith("pipe"):
            file = self.transport._pipe
            return -1 if file is None or file.closed else int(file.fileno())
        return int(self.transport.get_extra_info("socket").fileno())

    async def settle(self) -> None:
        """Turns until nothing more is told."""
        quiet = 0
        while quiet < QUIET_TURNS:
            before = len(self.log), len(self.log[-1][1]) if self.log and type(self.log[-1]) is list else 0
            await asyncio.sleep(0)
            after = len(self.log), len(self.log[-1][1]) if self.log and type(self.log[-1]) is list else 0
            quiet = quiet + 1 if before == after else 0

    def delivered(self, fd: int, events: int) -> None:
        """The kernel has brought to fd what the other end did."""
        if fd < 0:
            return
        poll = select.poll()
        poll.register(fd, events)
        assert poll.poll(MILLISECONDS), f"{self.kind} {self.seed}: the kernel does not deliver"

    # ---- operations

    async def step(self, name: str, number: int) -> None:
        self.log.append(f"-- {name}")
        had_queued = self.kind != "read pipe" and self.transport.get_write_buffer_size() > 0
        try:
            await getattr(self, name.replace(" ", "_"))(number)
        except (RuntimeError, TypeError, ValueError, OSError, AttributeError) as error:
            self.log.append(f"raised {named(error)}")
        if name != "turn":
            await self.settle()
        self.log.append(self.state())
        self.cut_off |= had_queued and name != "far drains" and self.transport.get_write_buffer_size() == 0

    def state(self) -> str:
        transport = self.transport
        parts = [f"closing={transport.is_closing()}"]
        if self.kind != "write pipe":
            parts.append(f"reading={transport.is_reading()}")
        if self.kind != "read pipe":
            parts.append(f"queued={transport.get_write_buffer_size() > 0}")
            limits: Any = getattr(transport, "get_write_buffer_limits", None)
            parts.append(f"limits={limits() if limits else None}")
        return " ".join([*parts, f"closed={self.number() < 0}"])

    async def turn(self, number: int) -> None:
        """Leaves what the operations before have begun unfinished for the next one."""

    async def write(self, number: int) -> None:
        self.transport.write(pattern(number, number % SMALL + 1))

    async def write_huge(self, number: int) -> None:
        self.transport.write(pattern(number, HUGE))

    async def write_nothing(self, number: int) -> None:
        self.transport.write(b"")

    async def write_text(self, number: int) -> None:
        self.transport.write("text")

    async def write_bytearray(self, number: int) -> None:
        data = bytearray(pattern(number, number % SMALL + 1))
        self.transport.write(memoryview(data) if number % 2 else data)

    async def writelines(self, number: int) -> None:
        self.transport.writelines([pattern(number + each, SMALL // 7) for each in range(number % 7)])

    async def writelines_huge(self, number: int) -> None:
        self.transport.writelines([pattern(number, 10), pattern(number, HUGE), pattern(number, 1000)])

    async def write_eof(self, number: int) -> None:
        self.transport.write_eof()

    async def pause_reading(self, number: int) -> None:
        self.transport.pause_reading()

    async def resume_reading(self, number: int) -> None:
        self.transport.resume_reading()

    async def set_protocol(self, number: int) -> None:
        self.transport.set_protocol(self.witness())

    async def limits(self, number: int) -> None:
        high, low = [(None, None), (0, None), (1_000, 10), (1_000_000, None), (None, 5), (10, 20), (-1, 0)][number % 7]
        self.transport.set_write_buffer_limits(high=high, low=low)

    async def close(self, number: int) -> None:
        self.transport.close()

    async def abort(self, number: int) -> None:
        self.transport.abort()

    # ---- the far end

    def far_number(self) -> int:
        return int(self.far if isinstance(self.far, int) else self.far.fileno())

    async def far_sends(self, number: int) -> None:
        os.write(self.far_number(), pattern(number, number % SMALL + 1))
        self.delivered(self.number(), select.POLLIN)

    async def far_sends_much(self, number: int) -> None:
        if not self.transport.is_reading():
            return
        left = memoryview(pattern(number, 400_000))
        while left:
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(self.far_number(), left) :]
                self.delivered(self.number(), select.POLLIN)
            await self.settle()

    async def far_drains(self, number: int) -> None:
        while not self.far_end and self.far_number() >= 0:
            if self.number() < 0:  # an end must be on its way
                self.delivered(self.far_number(), select.POLLIN)
            try:
                data = os.read(self.far_number(), 1 << 20)
            except BlockingIOError:
                await self.settle()
                if self.transport.get_write_buffer_size() == 0 and not self.to_read():
                    return
            except OSError as error:
                self.far_end = named(error)
            else:
                self.far_received += data
                self.far_end = "" if data else "end of file"

    def to_read(self) -> bool:
        poll = select.poll()
        poll.register(self.far_number(), select.POLLIN)
        return bool(poll.poll(0))

    async def far_ends(self, number: int) -> None:
        self.far.shutdown(socket.SHUT_WR)
        self.delivered(self.number(), select.POLLRDHUP)

    async def far_closes(self, number: int) -> None:
        if isinstance(self.far, int):
            if self.far >= 0:
                os.close(self.far)
                self.far = -1
        else:
            self.far.close()
        self.delivered(self.number(), select.POLLRDHUP | select.POLLHUP | select.POLLERR)

    async def far_resets(self, number: int) -> None:
        if self.kind == "tcp" and self.far_number() >= 0:
            self.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.far_closes(number)

    # ---- all of it

    async def run(self) -> Log:
        """Plays the seed's operations and ends what they left."""
        await self.connect()
        for name, number in plan(self.kind, self.seed):
            await self.step(name, number)
        if self.kind != "read pipe":
            await self.step("far drains", 0)
        await self.step("far closes", 0)
        await self.step("close", 0)
        # How much a TCP socket had taken of a huge write that was cut off, and how much of what was sent overtakes the
        # reset of one that is closed with received data unread, is the kernel's affair.
        known = self.kind != "tcp" or not (self.cut_off or "ECONNRESET" in self.far_end)
        self.log.append(f"far end: {digest(self.far_received) if known else 'a part'}, {self.far_end}")
        for each in self.log:
            if type(each) is list:
                each[1] = digest(each[1])
        return self.log


def pattern(number: int, size: int) -> bytes:
    """Bytes that tell where they belong."""
    piece = number.to_bytes(4, "big") + bytes(range(247))
    return (piece * (size // len(piece) + 1))[:size]


def digest(data: bytes) -> str:
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:8]}"


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)  # which else grow to several megabytes
        near = socket.create_connection(server.getsockname())
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
        far, _ = server.accept()
    return near, far


def play(kind: str, seed: int) -> Log:
    """The log of a seed on the loop that asyncio makes now."""
    return asyncio.run(asyncio.wait_for(Play(kind, seed).run(), 60))


def until_a_fault(theirs: Log) -> int:
    """How much of asyncio's log is to be compared: up to what its stream transport does wrong before 3.14.

    After the end, write() and abort() ask the loop that the transport has let go of, and writelines() trips too.
    """
    faults = "raised AttributeError: 'NoneType'", "raised TypeError: 'NoneType'"
    found = (at for at, each in enumerate(theirs) if isinstance(each, str) and each.startswith(faults))
    return next(found, len(theirs)) if sys.version_info < (3, 14) else len(theirs)


def first_difference(ours: Log, theirs: Log) -> str:
    """Both logs up to where they part."""
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    common = "\n".join(f"    {each}" for each in theirs[max(0, at - 40) : at])
    return f"{common}\nasyncio {theirs[at : at + 6]}\ntriga   {ours[at : at + 6]}"
