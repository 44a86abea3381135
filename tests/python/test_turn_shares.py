"""A transport has a share of each turn of the loop: what a peer would take beyond it leaves in the next ones.

One body on asyncio's own loop, where one write may keep the loop for as long as the kernel takes what it is given, and
on triga's: neither the peer nor the protocol may be told less than there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.python.loops import run_turns
from tests.python.recorder import Recorder, connected

pytestmark = pytest.mark.usefixtures("backend")

SHARE = 240 * 1024  # runtime/net/stream.h
MUCH = bytes(range(256)) * (4 * 1024)  # a MiB, which the kernel would take at once


async def with_room(factory: Callable[[], Any] = Recorder) -> tuple[Any, Any, socket.socket]:
    """A connection whose kernel takes megabytes."""
    transport, protocol, far = await connected(factory)
    force = 32  # SO_SNDBUFFORCE
    try:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, force, 8 * len(MUCH))
    except PermissionError:
        transport.abort()
        far.close()
        pytest.skip("a socket's buffer cannot be larger than the system's limit here")
    return transport, protocol, far


def all_there(far: socket.socket) -> bytes:
    """What has arrived by now, up to the end if it is there."""
    parts = []
    far.setblocking(False)
    while True:
        try:
            part = far.recv(2**20)
        except BlockingIOError:
            return b"".join(parts)
        if not part:
            return b"".join([*parts, b"<end>"])
        parts.append(part)


def test_a_writer_whose_peer_takes_everything_lets_others_run(backend: str, run: Any) -> None:
    rounds = 32
    turns = 0

    async def main() -> int:
        nonlocal turns
        transport, protocol, far = await with_room()
        received: list[int] = []
        reader = threading.Thread(target=lambda: received.extend(iter(lambda: len(far.recv(2**20)), 0)))
        reader.start()
        loop = asyncio.get_running_loop()

        def count() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count)

        loop.call_soon(count)
        for _ in range(rounds):
            transport.write(MUCH)
            while "pause" in protocol.told and protocol.told[-1] != "resume":
                await asyncio.sleep(0)
        transport.close()
        await protocol.lost
        await asyncio.to_thread(reader.join)
        far.close()
        return sum(received)

    assert run(main) == rounds * len(MUCH)
    if backend == "triga":
        assert turns > rounds * len(MUCH) // SHARE - rounds


def test_the_rest_is_in_the_buffer_and_leaves_in_the_next_turns(backend: str, run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await with_room()
        transport.write(MUCH)
        arrived = [all_there(far)]
        if backend == "triga":
            assert len(arrived[0]) == SHARE
            assert transport.get_write_buffer_size() == len(MUCH) - SHARE
            assert protocol.told == ["made", "pause"]
        for _ in range(8):
            await asyncio.sleep(0)
            arrived.append(all_there(far))
        assert b"".join(arrived) == MUCH
        assert transport.get_write_buffer_size() == 0
        assert protocol.told.count("pause") == protocol.told.count("resume")
        transport.abort()
        await protocol.lost
        far.close()

    run(main)


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
def test_what_ends_a_connection_holds_nothing_back(end: str, run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await with_room()
        transport.write(MUCH)
        getattr(transport, end)()
        if end == "write_eof":
            await asyncio.sleep(0)
            assert not protocol.lost.done()
            transport.close()
        await protocol.lost
        assert all_there(far) == MUCH + b"<end>"
        assert protocol.told.count("pause") == protocol.told.count("resume") or end == "abort"
        assert protocol.told[-1] == "lost"
        far.close()

    run(main)


def test_what_was_written_has_left_when_the_loop_stops(backend: str) -> None:
    loop = asyncio.new_event_loop()
    transport, protocol, far = loop.run_until_complete(with_room())

    async def write() -> None:
        transport.write(MUCH)

    loop.run_until_complete(write())
    assert all_there(far) == MUCH
    run_turns(loop, 2)
    assert protocol.told.count("pause") == protocol.told.count("resume") == (1 if backend == "triga" else 0)
    transport.write(b"and goes on")
    assert all_there(far) == b"and goes on"
    transport.abort()
    loop.run_until_complete(protocol.lost)
    loop.close()
    far.close()


def test_a_write_that_is_gathered_after_all_has_left(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await with_room()
        loop = asyncio.get_running_loop()

        def write() -> None:
            transport.write(MUCH)
            transport.get_extra_info("peername")
            transport.write(b"and more")

        for each in (write, *[lambda: None] * 8):
            loop.call_soon(each)
        for _ in range(4):
            await asyncio.sleep(0)
        assert all_there(far) == MUCH + b"and more"
        assert protocol.told.count("pause") == protocol.told.count("resume")
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_a_rest_is_queued_while_a_turn_is_awaited_for_nothing(run: Any) -> None:
    """All has left by the time the next turn was to send it, and then there is a rest of something else."""

    async def main() -> None:
        transport, protocol, far = await with_room()
        loop = asyncio.get_running_loop()
        far.setblocking(False)

        def write_before_the_rest_is_sent() -> None:
            transport.get_extra_info("peername")  # all of it leaves
            for _ in range(2):
                transport.write(b"gathered")
                transport.get_extra_info("peername")
            # Not gathered, and more than the kernel has room for.
            transport.write(bytes(20 * len(MUCH)))

        def write() -> None:
            loop.call_soon(write_before_the_rest_is_sent)
            transport.write(MUCH)
            for _ in range(8):
                loop.call_soon(lambda: None)

        for each in (write, *[lambda: None] * 8):
            loop.call_soon(each)
        size = 0
        while size < 21 * len(MUCH) + 16:
            await asyncio.sleep(0)
            with contextlib.suppress(BlockingIOError):
                size += len(far.recv(2**22))
        assert size == 21 * len(MUCH) + 16
        await asyncio.sleep(0)
        assert protocol.told.count("pause") == protocol.told.count("resume")
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_sendfile_waits_for_what_is_held_back(run: Any, tmp_path: Any) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"the file" * 1000)

    async def main() -> None:
        transport, protocol, far = await with_room()
        transport.write(MUCH)
        with file.open("rb") as source:
            assert await asyncio.get_running_loop().sendfile(transport, source) == 8000
        transport.write(b"and more")
        assert all_there(far) == MUCH + b"the file" * 1000 + b"and more"
        transport.close()
        await protocol.lost
        far.close()

    run(main)


@pytest.mark.parametrize("seed", range(40))
def test_writes_in_any_order_arrive(seed: int, run: Any) -> None:
    """Large and small ones on a quiet and on a busy loop, with what sends at once between them, and an end."""
    generator = random.Random(seed)

    async def main() -> None:
        transport, protocol, far = await with_room()
        loop = asyncio.get_running_loop()
        written = b""

        def write(*pieces: bytes) -> None:
            nonlocal written
            written += b"".join(pieces)
            if len(pieces) == 1:
                transport.write(pieces[0])
            else:
                transport.writelines(pieces)

        def anything() -> None:
            for _ in range(generator.randrange(1, 4)):
                operation = generator.randrange(7)
                number = b"%d " % generator.randrange(1000)
                if operation < 2:
                    write(number)
                elif operation == 2:
                    write(number, number * 5000)
                elif operation < 5:
                    write(MUCH[: generator.randrange(2 * SHARE)])
                elif operation == 5:
                    transport.get_extra_info("peername")
                else:
                    transport.set_write_buffer_limits(high=generator.choice([0, 1000, SHARE]))

        for _ in range(6):
            loop.call_soon(anything)
            for _ in range(generator.choice([0, 8])):
                loop.call_soon(int)
            for _ in range(generator.randrange(1, 4)):
                await asyncio.sleep(0)
        if generator.randrange(2):
            transport.write_eof()
        transport.close()
        arrived = []
        while not protocol.lost.done():  # what the kernel would not take waits for room
            arrived.append(all_there(far))
            await asyncio.sleep(0)
        arrived.append(all_there(far))
        assert b"".join(arrived).replace(b"<end>", b"") == written
        assert arrived[-1].endswith(b"<end>")
        assert await protocol.lost is None
        assert protocol.told.count("pause") == protocol.told.count("resume")
        assert protocol.told.count("lost") == 1
        far.close()

    run(main)


def test_a_peer_that_vanishes_meanwhile_is_told_of(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await with_room()
        transport.write(MUCH)
        far.close()
        transport.write(MUCH)
        assert isinstance(await protocol.lost, ConnectionError | None)
        assert protocol.told[-1] == "lost"

    run(main)
