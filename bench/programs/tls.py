"""TLS and bulk streams on the arm's loop, both ends in one process but for one: ``tls.py SCENARIO SCALE ARM``."""

import asyncio
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from arm_loop import loop_factory
from meter import main, table


def make_certificate(folder, name, *options):
    """NAME.pem and NAME.key: an authority of its own, unless the options say otherwise."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    files = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
    subprocess.run([*command.split(), *files, *options], check=True, capture_output=True, cwd=folder)


def contexts(folder):
    """A server's context and a client's that trusts it."""
    # By an authority: rustls takes no certificate that is its own.
    make_certificate(folder, "authority", "-addext", "keyUsage=critical,keyCertSign")
    signed = ["-CA", "authority.pem", "-CAkey", "authority.key"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    make_certificate(folder, "localhost", *signed, *names)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(Path(folder, "localhost.pem"), Path(folder, "localhost.key"))
    return server, ssl.create_default_context(cafile=str(Path(folder, "authority.pem")))


class Echo(asyncio.Protocol):
    """Writes what it receives."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Pinger(asyncio.Protocol):
    """Sends a message, and another when it has come back whole."""

    def __init__(self, size, count):
        self.message = b"x" * size
        self.missing, self.left = size, count
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.message)

    def data_received(self, data):
        self.missing -= len(data)
        if self.missing:
            return
        self.left -= 1
        if self.left:
            self.missing = len(self.message)
            self.transport.write(self.message)
        else:
            self.done.set_result(None)


def on_loop(meter, work):
    """Runs ``work(contexts)`` on the arm's loop."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=loop_factory(meter.arm)) as runner:
        runner.run(work(contexts(folder)))


def echo(meter, size, count):
    """Round trips of one connection."""

    async def work(both):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=both[0])
        address = server.sockets[0].getsockname()

        async def round_trips(number):
            transport, protocol = await loop.create_connection(
                lambda: Pinger(size, number), *address, ssl=both[1], server_hostname="localhost"
            )
            await protocol.done
            transport.close()

        await round_trips(max(2, meter.n(count) // 10))
        with meter(meter.n(count)):
            await round_trips(meter.n(count))
        server.close()

    on_loop(meter, work)


def bulk(meter, mebibytes, tls):
    """Sends by a StreamWriter what a StreamReader reads, a mebibyte at a time."""

    async def work(both):
        pieces = meter.n(mebibytes)
        got = asyncio.get_running_loop().create_future()

        async def receive(reader, writer):
            total = 0
            while data := await reader.read(256 * 1024):
                total += len(data)
            got.set_result(total)
            writer.close()

        server = await asyncio.start_server(receive, "127.0.0.1", 0, ssl=both[0] if tls else None)
        options = {"ssl": both[1], "server_hostname": "localhost"} if tls else {}
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), **options)
        piece = b"x" * 2**20
        with meter(pieces):
            for _ in range(pieces):
                writer.write(piece)
                await writer.drain()
            writer.close()
            assert await got == pieces * 2**20
        server.close()

    on_loop(meter, work)


READER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as reader:
    memory = bytearray(256 * 1024)
    while reader.recv_into(memory):
        pass
"""


def bulk_to_process(meter):
    """A mebibyte at a time by a StreamWriter, to a process that reads."""
    pieces = meter.n(2_000)

    async def work(_):
        done = asyncio.get_running_loop().create_future()

        async def send(reader, writer):
            piece = b"x" * 2**20
            with meter(pieces):
                for _ in range(pieces):
                    writer.write(piece)
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
            done.set_result(None)

        server = await asyncio.start_server(send, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with subprocess.Popen([sys.executable, "-c", READER, str(port)]):
            await done
        server.close()

    on_loop(meter, work)


def tls_echo_1k(meter):
    """1 KB there and back."""
    echo(meter, 1024, 20_000)


def tls_echo_100k(meter):
    """100 KB there and back."""
    echo(meter, 102_400, 2_000)


def tls_bulk(meter):
    """A mebibyte through TLS streams."""
    bulk(meter, 400, tls=True)


def bulk_stream(meter):
    """A mebibyte through streams."""
    bulk(meter, 2_000, tls=False)


if __name__ == "__main__":
    main(table(tls_echo_1k, tls_echo_100k, tls_bulk, bulk_stream, bulk_to_process))
