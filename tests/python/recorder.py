"""What the tests of stream transports share: protocols that write down what they are told, and how to connect one."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

HAS_FAULTS_UNTIL_3_14 = (3, 12) <= sys.version_info < (3, 14)  # writelines() with empty chunks, and after the end


class Notebook:
    """What a protocol was told, for those who wait for it."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.data = b""
        self.changed = asyncio.Event()

    def tell(self, what: Any) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until what was told makes the condition true."""
        while not condition():
            self.changed.clear()
            async with asyncio.timeout(30):  # wait_for() would take a turn more, in which a pipe may end
                await self.changed.wait()


class Recorder(Notebook, asyncio.Protocol):
    """Writes down what it is told, and wakes who waits for a change."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.tell("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self.tell(len(data))

    def eof_received(self) -> bool | None:
        self.tell("eof")
        return None

    def pause_writing(self) -> None:
        self.tell("pause")

    def resume_writing(self) -> None:
        self.tell("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.tell("lost")
        self.lost.set_result(exc)


async def connected(factory: Callable[[], Any] = Recorder) -> tuple[Any, Any, socket.socket]:
    """A transport and its protocol over one end of a socket pair, and the other end, a blocking socket."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(30)
    transport, protocol = await asyncio.get_running_loop().create_connection(factory, sock=near)
    return transport, protocol, far


async def drain(far: socket.socket, size: int) -> bytes:
    """Receives until there are `size` bytes or the end, without keeping the loop from its work."""
    parts: list[bytes] = []
    while size > 0 and (part := await asyncio.to_thread(far.recv, 65536)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def small_buffers(*socks: Any) -> None:
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def reset(sock: socket.socket) -> None:
    """Closes a TCP connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Buffered(asyncio.BufferedProtocol):
    """Receives into one bytearray of its own."""

    def __init__(self) -> None:
        self.memory = bytearray(1000)
        self.data = b""
        self.asked: list[int] = []
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        self.asked.append(sizehint)
        return memoryview(self.memory)

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.memory[:nbytes]
        self.memory.extend(b"\0")  # no export of the memory may be left

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)
