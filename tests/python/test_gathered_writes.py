"""What is written while other callbacks of the turn are still to run leaves at its end, and sooner if somebody looks.

One body on asyncio's own loop, which sends at once, and on triga's: nobody but the peer may see a difference.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

import triga
from tests.python.recorder import Recorder, connected, drain, small_buffers

pytestmark = pytest.mark.usefixtures("backend")

MANY = 8  # callbacks in a turn


async def in_a_busy_turn(*callbacks: Callable[[], Any]) -> None:
    """Has the loop run the callbacks, followed by as many others as a busy loop has, in one turn."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    for each in callbacks:
        loop.call_soon(each)
    for _ in range(MANY):
        loop.call_soon(lambda: None)
    loop.call_soon(done.set_result, None)
    await done
    await asyncio.sleep(0)  # the turn is over


def test_writes_of_a_busy_turn_arrive_in_order(backend: str, run: Any) -> None:
    before = triga.stats()["writes_gathered"]

    async def main() -> None:
        pairs = [await connected() for _ in range(40)]

        def write(transport: Any) -> None:
            transport.write(b"head ")
            transport.write(bytearray(b"body "))
            transport.writelines([b"more ", memoryview(b"and more")])

        await in_a_busy_turn(*[lambda transport=transport: write(transport) for transport, _, _ in pairs])
        for transport, protocol, far in pairs:
            assert far.recv(100, socket.MSG_DONTWAIT) == b"head body more and more"
            transport.close()
            await protocol.lost
            far.close()

    run(main)
    gathered = triga.stats()["writes_gathered"] - before
    assert gathered > 60 if backend == "triga" else gathered == 0


def test_a_buffer_that_was_written_may_change_at_once(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()

        def write() -> None:
            data = bytearray(b"as it was")
            transport.write(data)
            data[:] = b"and as it is"

        await in_a_busy_turn(write)
        assert far.recv(100, socket.MSG_DONTWAIT) == b"as it was"
        transport.abort()
        await protocol.lost
        far.close()

    run(main)


@pytest.mark.parametrize(
    ("action", "arrives"),
    [
        (lambda transport: transport.get_write_buffer_size(), b"small"),
        (lambda transport: transport.get_extra_info("socket"), b"small"),
        (lambda transport: transport.write(b"x" * 20_000), b"small" + b"x" * 20_000),
        (lambda transport: transport.write(memoryview(b"x" * 20_000)), b"small" + b"x" * 20_000),
        (lambda transport: transport.set_write_buffer_limits(3), b"small"),
        (lambda transport: transport.write_eof(), b"small"),
        (lambda transport: transport.close(), b"small"),
        (lambda transport: transport.abort(), b"small"),
        (repr, b"small"),
    ],
    ids=["size", "socket", "large", "large view", "limits", "eof", "close", "abort", "repr"],
)
def test_who_looks_or_ends_it_finds_all_sent(run: Any, action: Callable[[Any], Any], arrives: bytes) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        seen = []

        def write() -> None:
            transport.write(b"small")
            action(transport)
            seen.append(far.recv(30_000, socket.MSG_DONTWAIT))
            seen.append(transport.get_write_buffer_size())

        await in_a_busy_turn(write)
        assert seen == [arrives, 0]
        transport.abort()
        await protocol.lost
        far.close()

    run(main)


def test_what_the_kernel_does_not_take_at_the_end_is_sent_later(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        small_buffers(transport.get_extra_info("socket"), far)

        def write() -> None:
            for number in range(12):
                transport.write(b"%d" % (number % 10) * 1000)

        await in_a_busy_turn(write)
        assert transport.get_write_buffer_size() > 0
        assert await drain(far, 12_000) == b"".join(b"%d" % (number % 10) * 1000 for number in range(12))
        transport.close()
        assert await protocol.lost is None
        far.close()

    run(main)


def test_an_error_ends_the_connection_in_the_context_of_the_write(run: Any) -> None:
    variable = contextvars.ContextVar("variable", default="none")

    class Lost(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            self.told.append(variable.get())
            super().connection_lost(exc)

    async def main() -> None:
        transport, protocol, far = await connected(Lost)
        transport.pause_reading()
        far.close()

        def write() -> None:
            variable.set("the write's")
            transport.write(b"into the void")

        await in_a_busy_turn(write)
        assert isinstance(await protocol.lost, BrokenPipeError)
        # From 3.15 on a connection has a context of its own, on asyncio too.
        assert ("the write's" in protocol.told) == (sys.version_info < (3, 15))

    run(main)


class Answering(Recorder):
    """Answers each read with more than is gathered of one connection."""

    def data_received(self, data: bytes) -> None:
        for number in range(5):
            self.transport.write(b"%d" % number * 8_000)


async def many_read_at_once() -> list[tuple[Any, Answering, socket.socket]]:
    """Connections that are all read in one turn."""
    pairs = [await connected(Answering) for _ in range(MANY)]
    for _, _, far in pairs:
        far.send(b"question")
    return pairs


def test_more_than_is_gathered_leaves_while_its_connection_is_read(run: Any) -> None:
    async def main() -> None:
        pairs = await many_read_at_once()
        for transport, protocol, far in pairs:
            assert await drain(far, 40_000) == b"".join(b"%d" % number * 8_000 for number in range(5))
            transport.close()
            assert await protocol.lost is None
            far.close()

    run(main)


def test_an_error_meanwhile_ends_the_connection_and_is_not_reported(run: Any) -> None:
    async def main() -> None:
        pairs = await many_read_at_once()
        for _, _, far in pairs:
            far.close()
        for _, protocol, _ in pairs:
            assert isinstance(await protocol.lost, BrokenPipeError)

    run(main)


def test_flow_control_of_gathered_writes_is_in_the_context_of_the_write(run: Any) -> None:
    variable = contextvars.ContextVar("variable", default="none")

    class Paused(Recorder):
        def pause_writing(self) -> None:
            self.told.append(f"pause in {variable.get()}")
            variable.set("a pause's")

        def resume_writing(self) -> None:
            self.told.append(f"resume in {variable.get()}")

    async def main() -> None:
        transport, protocol, far = await connected(Paused)
        small_buffers(transport.get_extra_info("socket"), far)
        transport.set_write_buffer_limits(high=10_000)

        def write() -> None:
            variable.set("the write's")
            for _ in range(4):
                transport.write(bytes(9_000))

        await in_a_busy_turn(write)
        assert await drain(far, 36_000) == bytes(36_000)
        assert variable.get() == "none"
        transport.close()
        await protocol.lost
        told = [each for each in protocol.told if " in " in each]
        # From 3.15 on a connection has a context of its own, on asyncio too.
        if sys.version_info < (3, 15):
            assert told[0] == "pause in the write's"
            assert told[1].startswith("resume in ")
            assert told[1] != "resume in none"
        far.close()

    run(main)


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_loop_does_not_keep_data_back(loop: Any, ends: type[BaseException]) -> None:
    transport, _, far = loop.run_until_complete(connected())

    def write_and_end() -> None:
        transport.write(b"last words")
        raise ends

    loop.call_soon(write_and_end)
    for _ in range(MANY):
        loop.call_soon(lambda: None)
    with pytest.raises(ends):
        loop.run_forever()
    assert far.recv(100, socket.MSG_DONTWAIT) == b"last words"
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0.01))
    far.close()


def test_a_fork_sends_once(run: Any) -> None:
    """The child of a fork in the turn of the write has a copy of what is gathered, and must not send it too."""

    async def main() -> None:
        transport, protocol, far = await connected()

        def write_and_fork() -> None:
            transport.write(b"once")
            child = os.fork()
            if not child:
                try:
                    transport.abort()  # in the child's copy: sends what is gathered, if anything is
                finally:
                    os._exit(0)
            os.waitpid(child, 0)

        await in_a_busy_turn(write_and_fork)
        transport.close()
        await protocol.lost
        data = b""
        while part := far.recv(100):
            data += part
        assert data == b"once"
        far.close()

    run(main)
