"""How stream transports end: by exceptions of the protocol, resets, vanished peers, and nobody who holds them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import subprocess
import sys
import textwrap
import warnings
import weakref
from typing import Any

import pytest

from tests.python.recorder import Buffered, Recorder, connected, drain, reset, small_buffers

pytestmark = pytest.mark.usefixtures("backend")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"get_buffer": lambda size: bytearray(0)}, "Fatal error: protocol.get_buffer() call failed."),
        ({"get_buffer": lambda size: 1 / 0}, "Fatal error: protocol.get_buffer() call failed."),
        ({"get_buffer": lambda size: b"read only"}, "Fatal read error on socket transport"),
        ({"buffer_updated": lambda size: 1 / 0}, "Fatal error: protocol.buffer_updated() call failed."),
    ],
)
def test_what_a_buffered_protocol_raises_ends_the_transport(run: Any, broken: dict[str, Any], message: str) -> None:
    async def main(reports: list[dict[str, Any]]) -> None:
        transport, protocol, far = await connected(Buffered)
        for name, function in broken.items():
            setattr(protocol, name, function)
        far.sendall(b"x")
        exc = await protocol.lost
        assert (reports[0]["message"], reports[0]["exception"]) == (message, exc)
        assert reports[0]["transport"] is transport
        assert reports[0]["protocol"] is protocol
        far.close()

    run(main, expected_reports=1)


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_what_a_protocol_raises_ends_the_transport(run: Any, method: str) -> None:
    async def main(reports: list[dict[str, Any]]) -> None:
        _transport, protocol, far = await connected()
        error = ZeroDivisionError("of the protocol's own")

        def fail(*_: object) -> None:
            raise error

        setattr(protocol, method, fail)
        if method == "data_received":
            far.sendall(b"x")
        else:
            far.shutdown(socket.SHUT_WR)
        assert await protocol.lost is error
        assert reports[0]["message"] == f"Fatal error: protocol.{method}() call failed."
        far.close()

    run(main, expected_reports=1)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_from_a_protocol_leave_the_loop_and_not_the_transport(kind: type[BaseException]) -> None:
    loop = asyncio.new_event_loop()

    async def open_one() -> tuple[Any, Any, socket.socket]:
        return await connected()

    try:
        transport, protocol, far = loop.run_until_complete(open_one())

        def leave(data: bytes) -> None:
            raise kind("from the protocol")

        received, protocol.data_received = protocol.data_received, leave
        far.sendall(b"x")
        with pytest.raises(kind, match="from the protocol"):
            loop.run_forever()
        assert not transport.is_closing()
        protocol.data_received = received
        far.sendall(b"y")
        loop.run_until_complete(protocol.until(lambda: protocol.data == b"y"))
        transport.close()
        loop.run_until_complete(protocol.lost)
        far.close()
    finally:
        loop.close()


def test_what_pause_writing_raises_is_reported_and_the_transport_lives(run: Any) -> None:
    async def main(reports: list[dict[str, Any]]) -> None:
        transport, protocol, far = await connected()
        small_buffers(far, transport.get_extra_info("socket"))
        protocol.pause_writing = lambda: 1 / 0
        transport.write(b"x" * 200_000)
        assert reports[0]["message"] == "protocol.pause_writing() failed"
        assert not transport.is_closing()
        assert len(await drain(far, 200_000)) == 200_000
        transport.close()
        await protocol.lost
        far.close()

    run(main, expected_reports=1)


def test_a_reset_is_told_with_its_errno(run: Any) -> None:
    async def main() -> None:
        made = asyncio.get_running_loop().create_future()

        class Server(Recorder):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                made.set_result(self)

        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        protocol = await made
        reset(client)
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert "eof" not in protocol.told
        server.close()
        await server.wait_closed()

    run(main)


def test_writes_to_a_vanished_peer_end_the_transport_and_are_logged_later(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        transport.pause_reading()
        far.close()
        transport.write(b"x")
        assert transport.is_closing()
        for _ in range(6):
            transport.write(b"lost")
        assert isinstance(await protocol.lost, BrokenPipeError)

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main)
    assert [record.message for record in caplog.records] == ["socket.send() raised exception."] * 2


async def forgotten(paused: bool) -> tuple[int, weakref.ref[Any], socket.socket]:
    """The descriptor of a transport that nobody holds, a reference to it, and the other end."""
    transport, _, far = await connected(asyncio.Protocol)
    if paused:
        transport.pause_reading()
    return transport.get_extra_info("socket").fileno(), weakref.ref(transport), far


def assert_gone(fd: int, transport: weakref.ref[Any], warned: list[warnings.WarningMessage]) -> None:
    """One warning, its socket closed; and it goes when the warning, which holds it as its source, is forgotten."""
    texts = [str(warning.message) for warning in warned]
    assert sum(text.startswith("unclosed transport <_SelectorSocketTransport fd=") for text in texts) == 1, texts
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    warned.clear()
    gc.collect()
    assert transport() is None


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "reading in a loop that closes"])
def test_an_unclosed_transport_warns_and_closes_its_socket(paused: bool) -> None:
    loop = asyncio.new_event_loop()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fd, transport, far = loop.run_until_complete(forgotten(paused))
        gc.collect()
        assert bool(warned) == paused  # a reading one is kept by its loop
        loop.close()
        gc.collect()
    assert_gone(fd, transport, warned)
    far.close()


def test_a_transport_nobody_holds_lives_while_it_reads(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        protocol.transport = None
        del transport
        gc.collect()
        far.sendall(b"x")
        await protocol.until(lambda: protocol.data == b"x")
        far.close()
        await protocol.lost

    run(main)


def test_what_is_called_after_the_end_does_no_harm(backend: str, run: Any) -> None:
    if backend == "stdlib":
        pytest.skip("asyncio's own raises AttributeErrors of None here, other ones in other versions")

    async def main() -> None:
        transport, protocol, far = await connected()
        small_buffers(far, transport.get_extra_info("socket"))
        transport.write(b"x" * 200_000)
        assert protocol.told[-1] == "pause"
        transport.abort()
        await protocol.lost
        far.close()
        for call in ("close", "abort", "pause_reading", "resume_reading", "write_eof", "_read_ready", "_add_reader"):
            assert getattr(transport, call)() is None
        transport.write(b"x")
        transport.writelines([b"x"])
        transport.set_write_buffer_limits(high=0)
        assert transport.get_protocol() is None
        assert transport.get_write_buffer_size() == 0
        with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
            transport._maybe_resume_protocol()

    run(main)


def test_no_cycle_keeps_a_closed_transport(backend: str, run: Any) -> None:
    if backend == "stdlib":
        pytest.skip("asyncio's own transport refers to itself until 3.14")

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            transport, protocol, far = await connected()
            far.close()
            await protocol.lost
            reference = weakref.ref(transport)
            protocol.transport = None
            del transport, protocol
            await asyncio.sleep(0)
            assert reference() is None
        finally:
            gc.enable()

    run(main)


def test_sigpipe_of_a_vanished_peer_does_not_kill(backend: str) -> None:
    """With SIGPIPE's default action restored, a write to a closed peer is an error of the write all the same."""
    if backend == "stdlib":
        pytest.skip("asyncio sends without MSG_NOSIGNAL: there the process dies")
    program = """
        import asyncio, signal, socket
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        async def main():
            near, far = socket.socketpair()
            near.setblocking(False)
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=near)
            transport.pause_reading()
            far.close()
            transport.write(b"x")
            assert transport.is_closing()
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env={**os.environ, "TRIGA": "loop"}, timeout=60
    )
    assert done.returncode == 0
