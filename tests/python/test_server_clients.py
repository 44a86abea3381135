"""The connections of a server, which it knows from 3.13 on: one body on asyncio's own loop and on triga's."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.python.loops import run, waits

pytestmark = [
    pytest.mark.usefixtures("backend"),
    pytest.mark.skipif(sys.version_info < (3, 13), reason="Server knows its connections since 3.13"),
]


class Serving:
    """A server, the far ends of its connections, and their transports here."""

    def __init__(self) -> None:
        self.transports: list[Any] = []
        self.lost: list[Any] = []

    def protocol(self) -> asyncio.Protocol:
        serving = self

        class Told(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport
                serving.transports.append(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                serving.lost.append(self.transport)

        return Told()

    async def begin(self, loop: Any, connections: int, socket_class: type[socket.socket] = socket.socket) -> Any:
        listener = socket_class()
        listener.bind(("127.0.0.1", 0))
        self.server = await loop.create_server(self.protocol, sock=listener)
        self.far = [socket.create_connection(listener.getsockname()) for _ in range(connections)]
        await until(lambda: len(self.transports) == connections)
        await waits(loop)  # they read by now
        return self.server

    async def end(self) -> None:
        """Ends the server, its connections and their far ends."""
        self.server.close()
        self.server.close_clients()
        await asyncio.wait_for(self.server.wait_closed(), 30)
        for far in self.far:
            far.close()


async def until(true: Callable[[], bool]) -> None:
    """Lets the loop turn for as long as TRUE() is false."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0)


def test_a_server_knows_its_connections_till_they_end() -> None:
    async def main(loop: Any) -> None:
        serving = Serving()
        clients = (await serving.begin(loop, 5))._clients
        assert set(clients) == set(clients.copy()) == set(serving.transports)
        assert len(clients) == 5
        for left, ending in enumerate((1, 3, 0, 2, 4)):  # from the middle, the ends, and the last
            transport = serving.transports[ending]
            assert transport in clients
            serving.far[ending].close()
            await until(lambda of=left: len(serving.lost) > of)  # type: ignore[misc]
            assert transport not in clients
            assert set(clients) == set(serving.transports) - set(serving.lost)
            assert len(clients) == 4 - left
        serving.server.close()
        await asyncio.wait_for(serving.server.wait_closed(), 30)

    run(main)


@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_a_server_ends_its_connections(method: str) -> None:
    async def main(loop: Any) -> None:
        serving = Serving()
        server = await serving.begin(loop, 3)
        server.close()
        waiting = asyncio.ensure_future(server.wait_closed())
        await asyncio.sleep(0)
        assert not waiting.done()
        getattr(server, method)()
        await asyncio.wait_for(waiting, 30)
        assert set(serving.lost) == set(serving.transports)
        for far in serving.far:
            far.close()

    run(main)


def test_a_server_does_not_keep_a_connection() -> None:
    """A paused transport that nobody holds is collected, with a warning; the server then is done."""

    async def main(loop: Any) -> None:
        serving = Serving()
        server = await serving.begin(loop, 2)
        forgotten = serving.transports.pop(0)
        forgotten.pause_reading()
        gone = weakref.ref(forgotten)
        del forgotten
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gc.collect()
            told = [str(each.message) for each in caught]
            caught.clear()  # from 3.15 on a recorded warning holds what it is about
            gc.collect()
        assert gone() is None
        assert any("unclosed transport" in each for each in told)
        assert list(server._clients) == serving.transports
        await serving.end()

    run(main)


def test_other_kinds_of_transports_are_a_servers_connections_too() -> None:
    """As of a socket whose class has methods of its own: asyncio's own transport serves it."""

    class Own(socket.socket):
        def recv(self, *args: Any) -> bytes:
            return super().recv(*args)

        def accept(self) -> Any:
            number, peer = self._accept()  # type: ignore[attr-defined]
            return Own(self.family, self.type, self.proto, fileno=number), peer

    async def main(loop: Any) -> None:
        serving = Serving()
        server = await serving.begin(loop, 2, Own)
        assert set(server._clients) == set(serving.transports)
        assert len(server._clients) == 2
        serving.far[0].close()
        await until(lambda: len(serving.lost) == 1)
        assert set(server._clients) == set(serving.transports) - set(serving.lost)
        await serving.end()

    run(main)


def test_a_connection_may_be_counted_by_two_servers() -> None:
    """It is the native place of one, and a weak reference in the other."""

    async def main(loop: Any) -> None:
        first, second = Serving(), Serving()
        one, two = await first.begin(loop, 1), await second.begin(loop, 0)
        (transport,) = first.transports
        two._attach(transport)
        two._attach(transport)
        assert list(two._clients) == list(one._clients) == [transport]
        two._detach(transport)
        two._detach(transport)
        assert (len(two._clients), len(one._clients)) == (0, 1)
        for each in (first, second):
            await each.end()

    run(main)


def test_a_servers_connections_outlive_its_own_view_of_them() -> None:
    """What a program puts in the view's place is used from then on; the transports forget the old one."""

    async def main(loop: Any) -> None:
        serving = Serving()
        server = await serving.begin(loop, 2)
        server._clients = weakref.WeakSet(server._clients)
        gc.collect()
        assert set(server._clients) == set(serving.transports)
        await serving.end()

    run(main)
