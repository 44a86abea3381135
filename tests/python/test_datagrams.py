"""UDP: one body on asyncio's own loop and on triga's, for the same outcome."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest

import triga
from tests.python.loops import has_ipv6, run, waits

pytestmark = pytest.mark.usefixtures("backend")


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


def test_more_peers_than_are_remembered_are_told_apart() -> None:
    """Addresses are kept in a table with two places for each, found by the address and by the tuple's identity.

    Peers drive each other out of it; the tuple of one that is gone is read as any other.
    """

    async def main(loop: Any) -> None:
        transport, protocol = await endpoint(loop)
        first: Any = None
        for number in range(2_500):
            data = b"%d" % number
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.bind((f"127.{number % 7}.{number % 250}.1", 0))
                peer.settimeout(20)
                peer.sendto(data, transport.get_extra_info("sockname"))
                await protocol.until(number + 1)
                assert protocol.told[-1] == (data, peer.getsockname())
                transport.sendto(data, protocol.told[-1][1])
                assert peer.recv(100) == data
                if first is None:
                    first = peer.dup(), protocol.told[-1][1]
        with first[0] as peer:
            transport.sendto(b"again", first[1])
            assert peer.recv(100) == b"again"
        transport.close()
        await protocol.until(2_501)

    run(main)


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
