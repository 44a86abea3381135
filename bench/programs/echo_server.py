"""An echo server on the arm's loop: ``echo_server.py KIND ARM``. Prints its port (or path), serves until stdin closes.

Kinds: protocols, buffered, streams, sock, udp, unix, accept (closes at once), idle.
"""

import asyncio
import os
import socket
import sys
import tempfile
from pathlib import Path

from arm_loop import serve


class EchoProtocol(asyncio.Protocol):
    """Writes what it receives."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class EchoBuffered(asyncio.BufferedProtocol):
    """The same, receiving into a buffer of its own."""

    def __init__(self):
        self.buffer = bytearray(256 * 1024)
        self.view = memoryview(self.buffer)

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.transport.write(bytes(self.view[:nbytes]))


class EchoDatagram(asyncio.DatagramProtocol):
    """Sends each datagram back."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class CloseAtOnce(asyncio.Protocol):
    """Closes the connection that was just made."""

    def connection_made(self, transport):
        transport.close()


async def echo_stream(reader, writer):
    """Writes what it reads."""
    while data := await reader.read(256 * 1024):
        writer.write(data)
        await writer.drain()
    writer.close()


async def echo_sock(loop, connection):
    """The same with the loop's socket methods."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := await loop.sock_recv(connection, 256 * 1024):
            await loop.sock_sendall(connection, data)


async def accept_sockets(loop, listener):
    """Accepts for echo_sock, keeping the tasks alive."""
    tasks = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        task = loop.create_task(echo_sock(loop, connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def start(kind, folder):
    """Starts the server; returns what to keep alive, and its port or path."""
    loop = asyncio.get_running_loop()
    if kind == "udp":
        kept = await loop.create_datagram_endpoint(EchoDatagram, local_addr=("127.0.0.1", 0))
        return kept, kept[0].get_extra_info("sockname")[1]
    if kind == "unix":
        path = str(Path(folder, "socket"))
        return await loop.create_unix_server(EchoProtocol, path), path
    if kind == "sock":
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        return loop.create_task(accept_sockets(loop, listener)), listener.getsockname()[1]
    if kind == "streams":
        server = await asyncio.start_server(echo_stream, "127.0.0.1", 0, backlog=1024)
    else:
        protocols = {"buffered": EchoBuffered, "accept": CloseAtOnce}
        protocol = protocols.get(kind, EchoProtocol)
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    return server, server.sockets[0].getsockname()[1]


if __name__ == "__main__":
    kind, arm = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        serve(arm, lambda: start(kind, folder))
    os._exit(0)
