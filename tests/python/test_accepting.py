"""Servers that accept: one body on asyncio's own loop and on triga's, for the same outcome."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path
from typing import Any, ClassVar

import pytest

import triga
from tests.python.loops import run

pytestmark = pytest.mark.usefixtures("backend")


def test_connections_of_a_server_are_accepted_in_contexts_of_their_own(native: bool) -> None:
    import contextvars

    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)

    class Told(asyncio.Protocol):
        def __init__(self) -> None:
            assert number.get() == 0  # nobody else's
            number.set(1)

        def connection_made(self, transport: Any) -> None:
            transport.write(b"%d" % number.get())
            transport.close()

    async def main(loop: Any) -> None:
        server = await loop.create_server(Told, "127.0.0.1", 0)
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b"1"
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    before = triga.stats()
    run(main)
    assert (triga.stats()["sockets_accepted"] - before["sockets_accepted"] == 3) is native


def test_a_server_without_descriptors_waits_and_goes_on() -> None:
    """accept(2) fails with EMFILE: the server's socket is left alone for a while, and the handler is told."""
    resource = pytest.importorskip("resource")

    async def main(loop: Any) -> None:
        told: list[str] = []
        reported = asyncio.Event()
        loop.set_exception_handler(lambda _, context: (told.append(context["message"]), reported.set()))
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        client = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        filling = []
        try:
            while True:
                try:
                    filling.append(os.dup(0))
                except OSError:
                    break
            client.setblocking(False)
            client.connect_ex(server.sockets[0].getsockname())
            await reported.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in filling:
                os.close(descriptor)
            client.close()
        assert told[0] == "socket.accept() out of system resource"
        server.close()

    run(main)


def test_a_factory_that_fails_closes_its_connection(native: bool) -> None:
    if not native:
        pytest.skip("the standard loop leaves the socket to the garbage collector")

    def fail() -> asyncio.Protocol:
        raise ZeroDivisionError

    async def main(loop: Any) -> None:
        server = await loop.create_server(fail, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()

    run(main)


def test_what_is_known_of_a_connection_is_known_after_its_end() -> None:
    async def main(loop: Any) -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address)
        writer.close()
        await writer.wait_closed()
        assert writer.get_extra_info("peername") == address
        assert writer.get_extra_info("sockname")[0] == "127.0.0.1"
        assert writer.get_extra_info("socket").fileno() == -1
        assert writer.get_extra_info("nothing", 5) == 5
        server.close()

    run(main)


@pytest.mark.parametrize("bound", ["", "short", "a/long/" + "name" * 15, "\0abstract"])
def test_a_unix_peer_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.chdir(tmp_path)  # so that the names are as long as they look
    told: list[Any] = []

    class Told(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            told.append((transport.get_extra_info("peername"), transport.get_extra_info("sockname")))
            transport.close()

    async def main(loop: Any) -> None:
        Path("a/long").mkdir(parents=True)
        server = await loop.create_unix_server(Told, "served")
        with socket.socket(socket.AF_UNIX) as client:
            if bound:
                client.bind(bound)
            expected = client.getsockname()
            client.setblocking(False)
            await loop.sock_connect(client, "served")
            assert await loop.sock_recv(client, 1) == b""
        assert told == [(expected, "served")]
        server.close()

    run(main)


def test_a_loop_that_makes_transports_its_own_way_is_asked_to(backend: str) -> None:
    asked: list[Any] = []
    base: Any = asyncio.SelectorEventLoop

    class Loop(base):  # type: ignore[misc]
        def _make_socket_transport(self, sock: Any, protocol: Any, *rest: Any, **options: Any) -> Any:
            asked.append(dict(options["extra"]))
            return super()._make_socket_transport(sock, protocol, *rest, **options)

    class Told(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            asked.append(transport.get_extra_info("peername"))
            transport.close()

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        server = await loop.create_server(Told, "127.0.0.1", 0)
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            assert await loop.sock_recv(client, 1) == b""
            assert asked == [{"peername": client.getsockname()}, client.getsockname()]
        server.close()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_the_peer_of_a_connection_that_was_reset_before_it_was_accepted_is_known() -> None:
    """accept(2) tells the address of a connection of which getpeername(2) knows nothing any more."""

    class Told(asyncio.Protocol):
        peer: ClassVar[Any] = None

        def connection_made(self, transport: Any) -> None:
            Told.peer = transport.get_extra_info("peername")

    async def main(loop: Any) -> None:
        server = await loop.create_server(Told, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            name = client.getsockname()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while Told.peer is None:
            await asyncio.sleep(0)
        assert Told.peer == name
        server.close()

    run(main)
