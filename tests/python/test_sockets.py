"""The loop's socket operations and UDP: one body on asyncio's own loop and on triga's, for the same outcome."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

import triga

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def native(backend: str) -> bool:
    return backend == "triga"


@contextmanager
def pair(family: int = socket.AF_UNIX, kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(family, kind)
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


async def waits(loop: Any) -> None:
    """Lets every task run until it waits, and the loop poll once more after that."""
    for _ in range(4):
        await asyncio.sleep(0)


async def finish(awaitable: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaitable, 30)


def run(main: Callable[[Any], Awaitable[Any]], debug: bool = False) -> Any:
    async def body() -> Any:
        return await finish(main(asyncio.get_running_loop()))

    return asyncio.run(body(), debug=debug)


def native_operations(before: dict[str, int]) -> int:
    return triga.stats()["socket_operations"] - before["socket_operations"]


# ---- sock_*


def test_operations_are_native(native: bool) -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            await loop.sock_sendall(one, b"hello")
            assert await loop.sock_recv(other, 10) == b"hello"

    before = triga.stats()
    run(main)
    assert (native_operations(before) == 2) is native


def test_an_operation_is_a_coroutine_that_starts_when_it_is_awaited() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            one.send(b"ab")
            first, second = loop.sock_recv(other, 1), loop.sock_recv(other, 1)
            assert asyncio.iscoroutine(first)
            assert await second == b"a"
            assert await loop.create_task(first) == b"b"
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await first

    run(main)


def test_an_operation_that_is_not_awaited_warns() -> None:
    async def main(loop: Any) -> None:
        with pair() as (_, other):
            with pytest.warns(RuntimeWarning, match="sock_recv' was never awaited"):
                loop.sock_recv(other, 1)
                gc.collect()
            loop.sock_recv(other, 1).close()

    run(main)


def test_a_receiver_waits_for_data() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            for round_ in range(3):  # the later ones find the registration of the first
                task = loop.create_task(loop.sock_recv(other, 100))
                await waits(loop)
                assert not task.done()
                one.send(b"%d" % round_)
                assert await task == b"%d" % round_

    run(main)


def test_end_of_stream_is_empty() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            task = loop.create_task(loop.sock_recv(other, 100))
            await waits(loop)
            one.close()
            assert await task == b""
            assert await loop.sock_recv(other, 100) == b""

    run(main)


def test_recv_into_fills_the_buffer() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            buffer = bytearray(b"......")
            task = loop.create_task(loop.sock_recv_into(other, memoryview(buffer)[1:5]))
            await waits(loop)
            one.send(b"abcdef")
            assert await task == 4
            assert buffer == b".abcd."
            buffer.append(0)  # nobody keeps it exported

    run(main)


def test_a_large_message_is_sent_in_parts_and_received_whole() -> None:
    message = os.urandom(3_000_000)

    async def receive(loop: Any, sock: socket.socket) -> bytes:
        received = bytearray()
        while len(received) < len(message):
            received += await loop.sock_recv(sock, 1_000_000)
        return bytes(received)

    async def main(loop: Any) -> None:
        with pair() as (one, other):
            for view in (message, bytearray(message), memoryview(message)):
                task = loop.create_task(loop.sock_sendall(one, view))
                assert await receive(loop, other) == message
                assert await task is None

    run(main)


def test_sending_to_a_peer_that_is_gone_raises() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            task = loop.create_task(loop.sock_sendall(one, b"x" * 3_000_000))
            await waits(loop)
            other.close()
            with pytest.raises(ConnectionError):
                await task
            with pytest.raises(BrokenPipeError):
                await loop.sock_sendall(one, b"x")

    run(main)


def test_cancelling_takes_the_wait_off_and_the_next_one_gets_the_data() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            task = loop.create_task(loop.sock_recv(other, 10))
            await waits(loop)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not loop.remove_reader(other)
            one.send(b"later")
            await waits(loop)
            assert await loop.sock_recv(other, 10) == b"later"

    run(main)


def test_data_that_arrived_for_a_cancelled_operation_is_not_lost(native: bool) -> None:
    """The standard loop has received it and drops it with the future; the native one has not received it yet."""

    async def main(loop: Any) -> bytes:
        with pair() as (one, other):
            task = loop.create_task(loop.sock_recv(other, 10))
            await waits(loop)
            one.send(b"data")
            future = task._fut_waiter
            while not future.done():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            other.setblocking(False)
            try:
                return other.recv(10)
            except BlockingIOError:
                return b""

    assert run(main) == (b"data" if native else b"")


@pytest.mark.parametrize("first", ["operation", "reader"])
def test_a_later_reader_takes_the_place_of_an_earlier_one(first: str) -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            called: list[str] = []
            if first == "reader":
                loop.add_reader(other, called.append, "reader")
            task = loop.create_task(loop.sock_recv(other, 10))
            await waits(loop)
            if first == "operation":
                loop.add_reader(other, lambda: called.append("reader") or loop.remove_reader(other))
            one.send(b"x")
            await waits(loop)
            assert called == (["reader"] if first == "operation" else [])
            assert task.done() is (first == "reader")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not loop.remove_reader(other)

    run(main)


def test_a_reader_and_a_sender_share_a_descriptor() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            got: list[bytes] = []
            loop.add_reader(one, lambda: got.append(one.recv(10)))
            task = loop.create_task(loop.sock_sendall(one, b"x" * 3_000_000))
            await waits(loop)
            other.send(b"1")
            await waits(loop)
            assert got == [b"1"]
            received = 0
            while received < 3_000_000:
                received += len(await loop.sock_recv(other, 1_000_000))
            await task
            for number in (b"2", b"3"):  # the reader is told every time, also after the sender has left
                other.send(number)
                await waits(loop)
            assert got == [b"1", b"2", b"3"]
            assert loop.remove_reader(one)

    run(main)


def test_a_descriptor_number_that_is_used_again_is_waited_for_anew() -> None:
    """The number of a closed socket, with what its registration left behind, goes to the next socket."""

    async def main(loop: Any) -> None:
        numbers = set()
        for kept_open in (False, True):
            for _ in range(3):
                with pair() as (one, other):
                    numbers.add(other.fileno())
                    duplicate = other.dup() if kept_open else None  # keeps the old description in the epoll
                    task = loop.create_task(loop.sock_recv(other, 10))
                    await waits(loop)
                    one.send(b"x")
                    assert await finish(task) == b"x"
                    other.close()
                    with pair() as (three, four):
                        task = loop.create_task(loop.sock_recv(four, 10))
                        await waits(loop)
                        one.send(b"to the duplicate") if duplicate else None
                        await waits(loop)
                        assert not task.done()
                        three.send(b"y")
                        assert await finish(task) == b"y"
                    if duplicate:
                        duplicate.close()
        assert len(numbers) < 6

    run(main)


def test_a_transport_can_take_a_socket_over_and_is_protected() -> None:
    async def main(loop: Any) -> None:
        one, other = socket.socketpair()
        with one:
            one.setblocking(False)
            other.setblocking(False)
            one.send(b"first")
            assert await loop.sock_recv(other, 10) == b"first"
            task = loop.create_task(loop.sock_recv(other, 10))
            await waits(loop)
            one.send(b"second")
            assert await task == b"second"
            reader, writer = await asyncio.open_connection(sock=other)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.sock_recv(other, 10)
            one.send(b"third")
            assert await reader.readexactly(5) == b"third"
            writer.close()
            await writer.wait_closed()

    run(main)


def test_errors_are_those_of_the_socket_module() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, other):
            with pytest.raises(ValueError, match="negative buffersize in recv"):
                await loop.sock_recv(one, -1)
            with pytest.raises(TypeError):
                await loop.sock_recv(one, 1.5)
            with pytest.raises(TypeError):
                await loop.sock_recv_into(one, b"read-only")
            with pytest.raises(TypeError, match="a bytes-like object is required"):
                await loop.sock_sendall(one, "text")
            with pytest.raises(TypeError):
                loop.sock_recv(one)
            with pytest.raises(TypeError, match="unexpected keyword argument"):
                loop.sock_recv(one, size=1)
            assert await loop.sock_sendall(sock=one, data=b"k") is None
            assert await loop.sock_recv(sock=other, n=3) == b"k"
            one.close()
            with pytest.raises(OSError, match="Bad file descriptor"):
                await loop.sock_recv(one, 1)

    run(main)


def test_debug_mode_refuses_a_blocking_socket() -> None:
    async def main(loop: Any) -> None:
        with pair() as (one, _):
            one.setblocking(True)
            for start in (lambda: loop.sock_recv(one, 1), lambda: loop.sock_sendall(one, b"x")):
                with pytest.raises(ValueError, match="the socket must be non-blocking"):
                    await start()

    run(main, debug=True)


def test_connect_and_accept() -> None:
    async def main(loop: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = loop.create_task(loop.sock_accept(listener))
            await waits(loop)
            assert await loop.sock_connect(client, listener.getsockname()) is None
            connection, address = await accepting
            with connection:
                assert type(connection) is socket.socket
                assert (connection.family, connection.type, connection.proto, connection.gettimeout()) == (
                    listener.family,
                    listener.type,
                    listener.proto,
                    0.0,
                )
                assert not os.get_inheritable(connection.fileno())
                assert address == client.getsockname()
                await loop.sock_sendall(client, b"hello")
                assert await loop.sock_recv(connection, 10) == b"hello"

    run(main)


def test_a_refused_connection_raises() -> None:
    async def main(loop: Any) -> None:
        with socket.socket() as nobody, socket.socket() as client:
            nobody.bind(("127.0.0.1", 0))
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(client, nobody.getsockname())

    run(main)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_datagram_operations_tell_the_sender(family: int, tmp_path: Any) -> None:
    host = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}.get(family)
    if family == socket.AF_INET6 and not has_ipv6():
        pytest.skip("no IPv6 here")

    async def main(loop: Any) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as other:
            for number, each in enumerate((one, other)):
                each.bind((host, 0) if host else str(tmp_path / str(number)))
                each.setblocking(False)
            assert await loop.sock_sendto(one, b"first", other.getsockname()) == 5
            assert await loop.sock_recvfrom(other, 100) == (b"first", one.getsockname())
            buffer = bytearray(8)
            task = loop.create_task(loop.sock_recvfrom_into(other, buffer, 4))
            await waits(loop)
            assert await loop.sock_sendto(one, b"second", other.getsockname()[:2] if host else other.getsockname()) == 6
            assert await task == (4, one.getsockname())
            assert buffer == b"seco\0\0\0\0"
            with pytest.raises(ValueError, match="nbytes is greater"):
                await loop.sock_recvfrom_into(other, buffer, 9)

    run(main)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_socket_class_that_overrides_methods_has_them_called() -> None:
    class Loud(socket.socket):
        def recv(self, *args: Any) -> bytes:
            return super().recv(*args).upper()

    async def main(loop: Any) -> None:
        with pair() as (one, other), Loud(fileno=other.detach()) as loud:
            loud.setblocking(False)
            one.send(b"quiet")
            assert await loop.sock_recv(loud, 10) == b"QUIET"

    run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_waits_by_itself() -> None:
    async def main(loop: Any) -> bytes:
        with pair() as (one, other):
            task = loop.create_task(loop.sock_recv(other, 10))
            await waits(loop)
            one.send(b"x")
            await task
            return other.fileno().to_bytes(2, "big")

    run(main)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other tests may have left threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            run(main)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- UDP


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.told: list[Any] = []
        self.changed = asyncio.Event()
        self.transport: Any = None
        self.on_datagram: Callable[[], None] = lambda: None

    def tell(self, *what: Any) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, count: int) -> None:
        while len(self.told) < count:
            self.changed.clear()
            await self.changed.wait()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.tell(data, addr)
        self.on_datagram()

    def error_received(self, exc: Exception) -> None:
        self.tell(type(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self.tell("lost", exc)


async def endpoint(loop: Any, **options: Any) -> tuple[Any, Datagrams]:
    if not options:
        options = {"local_addr": ("127.0.0.1", 0)}
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, **options)
    return transport, protocol


def test_datagrams_go_to_and_fro(native: bool) -> None:
    async def main(loop: Any) -> None:
        here, there = await endpoint(loop), await endpoint(loop)
        address = there[0].get_extra_info("sockname")
        for message in (b"bytes", bytearray(b"bytearray"), memoryview(b"view")):
            here[0].sendto(message, address)
        here[0].sendto(b"named", addr=address)
        await there[1].until(4)
        own = here[0].get_extra_info("sockname")
        assert there[1].told == [(b"bytes", own), (b"bytearray", own), (b"view", own), (b"named", own)]
        there[0].sendto(b"answer", there[1].told[0][1])  # the very tuple that was received
        await here[1].until(1)
        assert here[1].told == [(b"answer", address)]
        for transport, _ in (here, there):
            assert isinstance(transport, asyncio.selector_events._SelectorDatagramTransport)
            assert type(transport).__name__ == "_SelectorDatagramTransport"
            transport.close()
        await there[1].until(5)
        assert there[1].told[-1] == ("lost", None)

    before = triga.stats()
    run(main)
    after = triga.stats()
    assert (after["datagrams_read"] - before["datagrams_read"] == 5) is native
    assert (after["datagrams_sent"] - before["datagrams_sent"] > 0) is native


def test_a_connected_endpoint_needs_no_address_and_hears_of_errors() -> None:
    async def main(loop: Any) -> None:
        there = await endpoint(loop)
        address = there[0].get_extra_info("sockname")
        here = await endpoint(loop, remote_addr=address)
        here[0].sendto(b"one")
        here[0].sendto(b"two", address)
        with pytest.raises(ValueError, match="Invalid address: must be None or"):
            here[0].sendto(b"three", ("127.0.0.1", 9))
        await there[1].until(2)
        assert [data for data, _ in there[1].told] == [b"one", b"two"]
        there[0].close()
        await there[1].until(3)
        here[0].sendto(b"to nobody")
        await here[1].until(1)
        assert here[1].told == [(ConnectionRefusedError,)]
        here[0].close()

    run(main)


def test_wrong_arguments_of_sendto_raise_as_ever() -> None:
    async def main(loop: Any) -> None:
        transport, protocol = await endpoint(loop)
        with pytest.raises(TypeError, match="data argument must be"):
            transport.sendto("text", ("127.0.0.1", 9))
        with pytest.raises(TypeError):
            transport.sendto()
        transport.close()
        await protocol.until(1)

    run(main)


@pytest.mark.parametrize(
    "how",
    [
        "close",
        "abort",
        pytest.param("pause", marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="came with 3.12")),
    ],
)
def test_nothing_is_received_after_the_protocol_stopped_it(how: str) -> None:
    async def main(loop: Any) -> None:
        here, there = await endpoint(loop), await endpoint(loop)
        stop = {"close": there[0].close, "abort": there[0].abort, "pause": getattr(there[0], "pause_reading", None)}[
            how
        ]
        there[1].on_datagram = stop
        for number in range(10):
            here[0].sendto(b"%d" % number, there[0].get_extra_info("sockname"))
        await there[1].until(1)
        await waits(loop)
        received = [told[0] for told in there[1].told if told[0] != "lost"]
        assert received == [b"0"]
        if how == "pause":
            there[1].on_datagram = lambda: None
            there[0].resume_reading()
            await there[1].until(10)
            assert [told[0] for told in there[1].told] == [b"%d" % number for number in range(10)]
            there[0].close()
        here[0].close()
        await here[1].until(1)

    run(main)


def test_what_a_protocol_raises_is_reported_and_the_next_datagram_arrives() -> None:
    async def main(loop: Any) -> None:
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
        here, there = await endpoint(loop), await endpoint(loop)

        def fail() -> None:
            if len(there[1].told) == 1:
                raise ZeroDivisionError

        there[1].on_datagram = fail
        for number in range(3):
            here[0].sendto(b"%d" % number, there[0].get_extra_info("sockname"))
        await there[1].until(3)
        assert [type(report) for report in reports] == [ZeroDivisionError]
        here[0].close()
        there[0].close()
        await here[1].until(1)

    run(main)


def test_datagrams_that_the_kernel_does_not_take_are_queued_in_order(tmp_path: Any) -> None:
    """A Unix socket's queue holds a few datagrams; then its senders have to wait."""

    async def main(loop: Any) -> None:
        here, there = str(tmp_path / "here"), str(tmp_path / "there")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(there)
            other.setblocking(False)
            transport, protocol = await endpoint(loop, family=socket.AF_UNIX, local_addr=here, remote_addr=there)
            sent = 0
            while not transport.get_write_buffer_size():
                transport.sendto(struct.pack("I", sent) * 1000)
                sent += 1
            transport.sendto(b"last")
            received = []
            while (data := await loop.sock_recv(other, 100_000)) != b"last":
                received.append(struct.unpack_from("I", data)[0])
            assert received == list(range(sent))
            transport.close()
            await protocol.until(1)
            assert protocol.told == [("lost", None)]

    run(main)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_addresses_of_ipv6_have_four_parts() -> None:
    async def main(loop: Any) -> None:
        here = await endpoint(loop, local_addr=("::1", 0))
        own = here[0].get_extra_info("sockname")
        here[0].sendto(b"to itself", own)
        here[0].sendto(b"again", own[:2])
        await here[1].until(2)
        assert here[1].told == [(b"to itself", own), (b"again", own)]
        assert len(own) == 4
        here[0].close()
        await here[1].until(3)

    run(main)


def test_many_peers_are_told_apart() -> None:
    """More than the cache of addresses holds, in an order in which each one's place was another's before."""

    async def main(loop: Any) -> None:
        there = await endpoint(loop)
        address = there[0].get_extra_info("sockname")
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(300)]
        try:
            for _ in range(2):
                for sender in senders:
                    sender.sendto(b"?", address)
                    own = sender.getsockname()[1]
                    there[1].told.clear()
                    await there[1].until(1)
                    _, source = there[1].told[0]
                    assert source[1] == own
                    there[0].sendto(b"%d" % own, source)
                    assert sender.recv(10) == b"%d" % own
        finally:
            for sender in senders:
                sender.close()
        there[0].close()

    run(main)


# ---- accepting


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
