"""Many connections at once, and random operations: nothing is left behind, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.python.recorder import HAS_FAULTS_UNTIL_3_14, connected, reset, small_buffers

pytestmark = pytest.mark.usefixtures("backend")


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
