"""The loop's socket operations: one body on asyncio's own loop and on triga's, for the same outcome."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import warnings
from typing import Any

import pytest

import triga
from tests.python.loops import finish, has_ipv6, pair, run, waits

pytestmark = pytest.mark.usefixtures("backend")


def native_operations(before: dict[str, int]) -> int:
    return triga.stats()["socket_operations"] - before["socket_operations"]


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
