"""The socket object of an accepted connection, which triga makes when somebody asks: one body on both loops."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.python.loops import run, waits

pytestmark = pytest.mark.usefixtures("backend")


class Kept(asyncio.Protocol):
    """Keeps the transport of the last connection, and how it ended."""

    transport: Any = None
    lost: Any = "not yet"

    def connection_made(self, transport: Any) -> None:
        Kept.transport, Kept.lost = transport, "not yet"

    def connection_lost(self, exc: Exception | None) -> None:
        Kept.lost = exc


@asynccontextmanager
async def accepted(loop: Any, **options: Any) -> AsyncIterator[tuple[Any, socket.socket]]:
    """The server's transport of a connection, and the far end."""
    server = await loop.create_server(Kept, "127.0.0.1", 0, **options)
    with closing(server), socket.create_connection(server.sockets[0].getsockname()) as far:
        Kept.transport = None
        while Kept.transport is None:
            await asyncio.sleep(0)
        await waits(loop)
        held, Kept.transport = [Kept.transport], None
        yield held.pop(), far


def sockets_of(number: int) -> list[Any]:
    """The socket objects with that descriptor."""
    return [each for each in gc.get_objects() if type(each) is socket.socket and each.fileno() == number]


def test_it_is_one_object_with_the_listeners_parameters() -> None:
    async def main(loop: Any) -> None:
        async with accepted(loop) as (transport, far):
            sock = transport._sock
            assert sock is transport._sock
            assert type(sock) is socket.socket
            assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            assert sock.gettimeout() == 0
            assert sock.getpeername() == far.getsockname()
            shown = transport.get_extra_info("socket")
            assert shown.fileno() == sock.fileno() == transport._sock_fd
            transport.close()
            while Kept.lost == "not yet":
                await asyncio.sleep(0)
            assert sock.fileno() == shown.fileno() == -1
            assert transport._sock is None

    run(main)


def test_nobody_asks_and_there_is_none(native: bool) -> None:
    """And it is the asking that makes it."""

    async def main(loop: Any) -> None:
        async with accepted(loop) as (transport, far):
            number = transport._sock_fd
            assert (sockets_of(number) == []) is native
            far.sendall(b"a")
            transport.write(b"b")
            assert await asyncio.to_thread(far.recv, 1) == b"b"
            assert (sockets_of(number) == []) is native
            assert transport.get_extra_info("socket").family == socket.AF_INET
            assert sockets_of(number) == [transport._sock]
            transport.close()

    run(main)


@pytest.mark.parametrize("asked_before", [False, True])
def test_the_descriptor_is_closed_at_the_end(asked_before: bool) -> None:
    async def main(loop: Any) -> None:
        async with accepted(loop) as (transport, far):
            number = transport._sock_fd
            assert not asked_before or transport._sock.fileno() == number
            name = far.getsockname()
            transport.close()
            assert await asyncio.to_thread(far.recv, 1) == b""
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)
            shown = transport.get_extra_info("socket")
            assert (shown.fileno(), shown.family, shown.type) == (-1, socket.AF_INET, socket.SOCK_STREAM)
            assert transport.get_extra_info("peername") == name
            assert transport.get_extra_info("sockname") == far.getpeername()

    run(main)


def test_a_forgotten_transport_warns_and_closes_its_descriptor() -> None:
    async def main(loop: Any) -> None:
        async with accepted(loop) as (transport, far):
            number = transport._sock_fd
            transport.pause_reading()
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                del transport
                gc.collect()
            of_transports = [each for each in told if str(each.message).startswith("unclosed transport")]
            assert len(of_transports) == 1  # asyncio may tell of the socket first, as both end together
            of_transports.clear()
            told.clear()  # from 3.15 on a recorded warning holds its source
            gc.collect()
            assert await asyncio.to_thread(far.recv, 1) == b""
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)

    run(main)


def test_sendfile_and_duplicates_have_it() -> None:
    async def main(loop: Any) -> None:
        async with accepted(loop) as (transport, far):
            with Path(os.devnull).open("rb") as nothing:
                assert await loop.sendfile(transport, nothing) == 0
            with transport.get_extra_info("socket").dup() as copy:
                copy.sendall(b"by the copy")
            assert await asyncio.to_thread(far.recv, 100) == b"by the copy"
            transport.close()

    run(main)


def test_a_connection_over_a_unix_socket(tmp_path: Path) -> None:
    async def main(loop: Any) -> None:
        server = await loop.create_unix_server(Kept, str(tmp_path / "served"))
        Kept.transport = None
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "served"))
        while Kept.transport is None:
            await asyncio.sleep(0)
        transport = Kept.transport
        transport.write(b"a")
        assert await reader.readexactly(1) == b"a"
        assert (transport._sock.family, transport._sock.proto) == (socket.AF_UNIX, 0)
        transport.close()
        writer.close()
        server.close()

    run(main)


AUDITED = """
import asyncio, socket, sys
import triga
if sys.argv[1] == "triga":
    triga.install()
told = []

class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        told.append(("made", transport.get_extra_info("socket").fileno()))
        transport.close()

def hook(event, arguments):
    if event == "socket.__new__" and told is not None:
        told.append((event, *arguments[1:]))

async def main():
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
    with socket.socket() as far:
        sys.addaudithook(hook)
        far.setblocking(False)
        await asyncio.get_running_loop().sock_connect(far, server.sockets[0].getsockname())
        assert await asyncio.get_running_loop().sock_recv(far, 1) == b""
    server.close()

asyncio.run(main())
(event, family, kind, protocol), (made, _) = told
print(event, family, socket.SocketKind(kind & 15).name, protocol, made)
"""


def test_an_audit_hook_hears_of_it_when_the_connection_is_accepted(backend: str) -> None:
    program = [sys.executable, "-c", textwrap.dedent(AUDITED), backend]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout.strip(), ended.stderr) == ("socket.__new__ 2 SOCK_STREAM 6 made", "")


def test_a_loop_that_queues_its_own_way_is_asked_to() -> None:
    base: Any = asyncio.SelectorEventLoop
    queued: list[str] = []

    class Loop(base):  # type: ignore[misc]
        def call_soon(self, callback: Any, *args: Any, **options: Any) -> Any:
            queued.append(getattr(callback, "__name__", ""))
            return super().call_soon(callback, *args, **options)

    async def main() -> None:
        async with accepted(asyncio.get_running_loop()) as (transport, _):
            transport.close()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
    assert "connection_made" in queued
