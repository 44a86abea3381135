"""TLS: one body on asyncio's own SSLProtocol and on triga's, so that what is asserted is what asyncio does."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import random
import socket
import ssl
import subprocess
from typing import Any

import pytest

import triga

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A self-signed certificate of localhost and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", str(path.with_suffix(".crt"))],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return str(path)


@pytest.fixture
def contexts(certificate: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context, each asking for the other's certificate."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
    server.load_cert_chain(certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    server.set_alpn_protocols(["echo"])
    client = ssl.create_default_context(cafile=certificate)
    client.load_cert_chain(certificate)
    client.set_alpn_protocols(["other", "echo"])
    return server, client


async def echo(reader: Any, writer: Any) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def served(contexts: Any, handler: Any = echo) -> Any:
    """A reader and a writer to a server of the handler's; both are closed at the end."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=contexts[0])
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=contexts[1], server_hostname="localhost")
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()


@pytest.mark.parametrize("size", [1, 1000, 16_384, 16_385, 100_000, 3_000_000])
def test_what_is_sent_comes_back(run: Any, contexts: Any, backend: str, size: int) -> None:
    async def main() -> None:
        payload = random.Random(size).randbytes(size)
        before = triga.stats()
        async with served(contexts) as (reader, writer):
            for _ in range(3):
                writer.write(payload)
                assert await reader.readexactly(size) == payload
            writer.close()
            await writer.wait_closed()
        if backend == "triga":
            after = triga.stats()
            for name in ("tls_bytes_read", "tls_bytes_written"):
                assert after[name] - before[name] == 6 * size
            # The native transport carries it: asyncio puts TLS on its own socket transport by name.
            for name in ("bytes_read", "bytes_written"):
                assert after[name] - before[name] > 6 * size

    run(main)


def test_every_kind_of_data_and_writelines(run: Any, contexts: Any) -> None:
    async def main() -> None:
        async with served(contexts) as (reader, writer):
            writer.write(bytearray(b"one "))
            writer.write(memoryview(b"two "))
            writer.write(b"")
            writer.writelines([b"three ", b"four"])
            assert await reader.readexactly(18) == b"one two three four"
            with pytest.raises(TypeError, match="expecting a bytes-like instance, got str"):
                writer.write("text")
            writer.close()

    run(main)


def test_extra_information_is_complete(run: Any, contexts: Any) -> None:
    async def main() -> None:
        async with served(contexts) as (_, writer):
            info = writer.get_extra_info
            assert info("sslcontext") is contexts[1]
            assert info("peercert")["subject"] == ((("commonName", "localhost"),),)
            assert info("cipher")[2] >= 128
            assert info("compression") is None
            assert info("ssl_object").selected_alpn_protocol() == "echo"
            assert info("peername")[0] == "127.0.0.1"
            assert info("nothing", 5) == 5
            writer.close()

    run(main)


def test_the_clients_certificate_is_asked_for(run: Any, contexts: Any, certificate: str) -> None:
    async def main() -> None:
        bare = ssl.create_default_context(cafile=certificate)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with served((contexts[0], bare)) as (reader, writer):
                writer.write(b"x")
                if not await reader.read(1):
                    raise ConnectionResetError

    asyncio.run(main())


def test_a_wrong_name_is_refused(run: Any, contexts: Any) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts[0])
        async with server:
            address = server.sockets[0].getsockname()
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(*address, ssl=contexts[1], server_hostname="elsewhere")

    asyncio.run(main())


def test_start_tls_both_ways(run: Any, contexts: Any) -> None:
    async def upgrade(reader: Any, writer: Any) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.drain()
        protocol = writer.transport.get_protocol()
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(writer.transport, protocol, contexts[0], server_side=True)
        writer._transport = transport
        await echo(reader, writer)

    async def main() -> None:
        server = await asyncio.start_server(upgrade, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go\n"
            await writer.start_tls(contexts[1], server_hostname="localhost")
            writer.write(b"secret\n")
            assert await reader.readline() == b"secret\n"
            assert writer.get_extra_info("cipher") is not None
            writer.close()
            await writer.wait_closed()

    run(main)


class Buffered(asyncio.BufferedProtocol):
    """Receives into a buffer of 700 bytes: less than a record."""

    def __init__(self) -> None:
        self.buffer = bytearray(700)
        self.received = b""
        self.wanted = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        if len(self.received) >= 50_000:
            self.wanted.set()


def test_a_buffered_protocol(run: Any, contexts: Any) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts[0])
        async with server:
            transport, protocol = await asyncio.get_running_loop().create_connection(
                Buffered, *server.sockets[0].getsockname(), ssl=contexts[1], server_hostname="localhost"
            )
            payload = random.Random(3).randbytes(50_000)
            transport.write(payload)
            await protocol.wanted.wait()
            assert protocol.received == payload
            transport.close()

    run(main)


def test_the_memory_to_receive_into_begins_with_a_page(run: Any, contexts: Any, backend: str) -> None:
    """Some processors copy several times slower to a page's 8th to 31st byte, where malloc's mappings begin."""
    if backend == "stdlib":
        pytest.skip("asyncio's memory is where its allocator put it")

    async def main() -> None:
        async with served(contexts) as (_, writer):
            protocol = writer.transport._ssl_protocol
            memory = protocol.get_buffer(-1)
            assert len(memory) == 256 * 1024
            assert ctypes.addressof(ctypes.c_char.from_buffer(memory)) % 4096 == 0
            for count in (-1, len(memory) + 1):
                with pytest.raises(ValueError, match="cannot have come into a buffer of 262144"):
                    protocol.buffer_updated(count)

    run(main)


def test_a_slow_reader_pauses_the_writer(run: Any, contexts: Any) -> None:
    async def main() -> None:
        release = asyncio.Event()
        total = 0

        async def slow(reader: Any, writer: Any) -> None:
            nonlocal total
            await release.wait()
            while data := await reader.read(65536):
                total += len(data)
            writer.close()

        async with served(contexts, slow) as (_, writer):
            sent = 0
            while sent < 200_000_000:
                writer.write(b"x" * 500_000)
                sent += 500_000
                try:
                    await asyncio.wait_for(writer.drain(), 0.2)
                except TimeoutError:
                    break
            assert writer.transport.get_write_buffer_size() > 0
            release.set()
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            while total < sent:
                await asyncio.sleep(0.01)

    run(main)


def test_paused_reading_keeps_data_until_it_is_resumed(run: Any, contexts: Any) -> None:
    async def main() -> None:
        async with served(contexts) as (reader, writer):
            writer.transport.pause_reading()
            assert not writer.transport.is_reading()
            writer.write(b"late")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(10), 0.1)
            writer.transport.resume_reading()
            assert await reader.readexactly(4) == b"late"
            writer.close()

    run(main)


def test_a_handshake_that_hangs_is_ended(run: Any, contexts: Any) -> None:
    async def main() -> None:
        message = r"SSL handshake is taking longer than 0\.1 seconds"
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            pytest.raises(ConnectionAbortedError, match=message),
        ):
            await asyncio.open_connection(
                *listener.getsockname(),
                ssl=contexts[1],
                server_hostname="localhost",
                ssl_handshake_timeout=0.1,
            )

    run(main)


def test_garbage_in_place_of_a_handshake(contexts: Any) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts[0])
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET / HTTP/1.0\r\n\r\n" * 20)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 30)
            writer.close()

    asyncio.run(main())


def test_the_peers_close_notify_ends_the_stream(run: Any, contexts: Any) -> None:
    async def last_words(reader: Any, writer: Any) -> None:
        writer.write(b"last words")
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with served(contexts, last_words) as (reader, writer):
            assert await reader.read() == b"last words"
            assert reader.at_eof()
            writer.close()
            await writer.wait_closed()

    run(main)


def test_abort_loses_what_was_not_sent(run: Any, contexts: Any) -> None:
    async def main() -> None:
        async with served(contexts) as (reader, writer):
            writer.write(b"x" * 10_000_000)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            assert writer.is_closing()

    run(main)


def test_an_error_of_the_program_ends_the_connection(contexts: Any) -> None:
    class Broken(asyncio.Protocol):
        def __init__(self) -> None:
            self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError("in data_received")

        def connection_lost(self, exc: BaseException | None) -> None:
            self.lost.set_result(exc)

    async def main() -> None:
        reports: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts[0])
        async with server:
            transport, protocol = await loop.create_connection(
                Broken, *server.sockets[0].getsockname(), ssl=contexts[1], server_hostname="localhost"
            )
            transport.write(b"x")
            assert isinstance(await protocol.lost, ZeroDivisionError)
        assert "Fatal error on SSL protocol" in [each["message"] for each in reports]

    asyncio.run(main())


HOT = ["get_buffer", "buffer_updated", "_do_read", "_do_read__copied", "_process_outgoing"]


@pytest.mark.parametrize("method", HOT)
@pytest.mark.parametrize("where", ["class", "instance"])
def test_an_overridden_method_is_called(
    run: Any, contexts: Any, monkeypatch: pytest.MonkeyPatch, where: str, method: str
) -> None:
    """The native half calls its own methods as functions only while nobody has put others in their places."""
    called: list[str] = []

    def counted(original: Any, *given: Any) -> Any:
        called.append(method)
        return original(*given)

    async def main() -> None:
        async with served(contexts) as (reader, writer):
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            protocol: Any = writer.transport._ssl_protocol
            owner = protocol if where == "instance" else type(protocol)
            original = getattr(owner, method)
            if where == "instance":
                setattr(protocol, method, lambda *given: counted(original, *given))
            else:
                monkeypatch.setattr(owner, method, lambda self, *given: counted(original, self, *given))
            writer.write(b"between")
            assert await reader.readexactly(7) == b"between"
            assert called
            monkeypatch.undo()
            if where == "instance":
                delattr(protocol, method)
            called.clear()
            writer.write(b"after")
            assert await reader.readexactly(5) == b"after"
            assert not called

    run(main)
