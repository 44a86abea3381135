"""What a transport holds while nothing happens: readers that share a context, and its place in the loop's table."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import triga

pytestmark = pytest.mark.usefixtures("backend")

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default=None)


class Asking(asyncio.Protocol):
    """Calls what it was given with each message, in the context of its reader, and hands the answer on."""

    def __init__(self, ask: Callable[[bytes], object]) -> None:
        self.ask = ask
        self.answers: asyncio.Queue[Any] = asyncio.Queue()

    def data_received(self, data: bytes) -> None:
        self.answers.put_nowait(self.ask(data))


class Connection:
    """One with its protocol at the near end and a plain socket at the far end."""

    def __init__(self, transport: Any, protocol: Asking, far: socket.socket) -> None:
        self.transport, self.protocol, self.far = transport, protocol, far

    @classmethod
    async def make(cls, ask: Callable[[bytes], object]) -> Connection:
        near, far = socket.socketpair()
        near.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_accepted_socket(lambda: Asking(ask), near)
        return cls(transport, protocol, far)

    async def say(self, data: bytes) -> Any:
        self.far.sendall(data)
        return await asyncio.wait_for(self.protocol.answers.get(), 30)

    async def close(self) -> None:
        self.transport.close()
        self.far.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def remember(data: bytes) -> object:
    """What an earlier message left in the reader's context; this one leaves itself there."""
    before = variable.get()
    variable.set(data)
    return before


def look(_data: bytes) -> object:
    return variable.get()


def test_what_a_reader_sets_stays_on_its_connection() -> None:
    """Readers with the same variables share a context until one changes it: that one only must see the change."""

    async def main() -> None:
        first, second, third = [await Connection.make(ask) for ask in (remember, remember, look)]
        assert await first.say(b"a") is None
        assert await third.say(b"b") is None
        assert await second.say(b"c") is None
        assert await first.say(b"d") == b"a"
        assert await second.say(b"e") == b"c"
        assert await first.say(b"f") == b"d"
        assert await third.say(b"g") is None
        assert variable.get() is None
        for each in (first, second, third):
            await each.close()

    asyncio.run(main())


def test_a_reader_has_the_variables_of_where_it_was_made() -> None:
    """Two kinds of connections take turns: neither may run in the context of the other's."""

    async def main() -> None:
        made = []
        for number in range(6):
            variable.set(number % 2)
            made.append(await Connection.make(look))
        variable.set("later")
        for _ in range(3):
            for number, each in enumerate(made):
                assert await each.say(b"x") == number % 2
        for each in made:
            await each.close()

    asyncio.run(main())


def test_reading_starts_again_in_the_context_of_who_resumes_it() -> None:
    async def main() -> None:
        connection = await Connection.make(look)
        assert await connection.say(b"x") is None
        connection.transport.pause_reading()
        variable.set("resumed")
        connection.transport.resume_reading()
        variable.set("later")
        # From 3.15 on a connection has one context, which is its server's task's or its maker's.
        assert await connection.say(b"x") == ("resumed" if sys.version_info < (3, 15) else None)
        await connection.close()

    asyncio.run(main())


def test_no_value_outlives_the_connections_that_have_it() -> None:
    class Value:
        pass

    async def serve() -> weakref.ref[Value]:
        value = Value()
        variable.set(value)
        made = [await Connection.make(look) for _ in range(3)]
        for each in made:
            assert await each.say(b"x") is value
        for each in made:
            await each.close()
        return weakref.ref(value)

    async def main() -> weakref.ref[Value]:
        held = await asyncio.create_task(serve())
        await asyncio.sleep(0.001)  # the loop waits once, and lets go of what it has at hand for callbacks
        return held

    with asyncio.Runner() as runner:
        held = runner.run(main())
        gc.collect()
        assert held() is None


def test_the_context_that_a_failing_reader_ran_in_is_its_own() -> None:
    async def main() -> None:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))

        def fail(_data: bytes) -> object:
            variable.set("failed")
            raise ZeroDivisionError

        failing, other = await Connection.make(fail), await Connection.make(look)
        failing.far.sendall(b"x")
        while not told:
            await asyncio.sleep(0)
        assert isinstance(told[0], ZeroDivisionError)
        assert await other.say(b"x") is None
        failing.far.close()
        await other.close()

    asyncio.run(main())


# ---- loop._transports


def test_transports_are_found_by_their_descriptor() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        connection = await Connection.make(look)
        number = connection.transport.get_extra_info("socket").fileno()
        assert loop._transports[number] is connection.transport
        assert loop._transports.get(number) is connection.transport
        assert number in loop._transports
        assert number in list(loop._transports)
        assert len(loop._transports) == 1
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(number, print)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(connection.transport.get_extra_info("socket")._sock, 1)
        await connection.close()
        assert loop._transports.get(number + 1_000) is None
        with pytest.raises(KeyError):
            loop._transports[number + 1_000]

    asyncio.run(main())


def test_a_transport_can_be_taken_off_and_put_back() -> None:
    """As asyncio's sendfile() does. The transport goes on reading, and lives, without its entry."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        connection = await Connection.make(look)
        number = connection.transport.get_extra_info("socket").fileno()
        gone = weakref.ref(connection.transport)
        del loop._transports[number]
        assert number not in loop._transports
        with pytest.raises(KeyError):
            del loop._transports[number]
        del connection.transport
        gc.collect()
        assert await connection.say(b"x") is None
        connection.transport = gone()
        loop._transports[number] = connection.transport
        assert loop._transports[number] is connection.transport
        assert await connection.say(b"x") is None
        await connection.close()

    asyncio.run(main())


def test_a_descriptor_that_is_used_again_has_the_new_transport() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        first = await Connection.make(look)
        number = first.transport.get_extra_info("socket").fileno()
        await first.close()
        second = await Connection.make(look)
        while second.transport.get_extra_info("socket").fileno() != number:  # the lowest that is free
            second = await Connection.make(look)
        assert loop._transports[number] is second.transport
        loop._transports[number] = first.transport  # as sendfile() ends for a transport that was lost meanwhile
        assert second.transport.is_reading()
        assert await second.say(b"x") is None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(main())
        gc.collect()


def test_a_forgotten_transport_leaves_no_entry() -> None:
    """Nobody holds it and it waits for nothing, so it goes, and its entry must not be found any more."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        connection = await Connection.make(look)
        number = connection.transport.get_extra_info("socket").fileno()
        connection.transport.pause_reading()
        gone = weakref.ref(connection.transport, lambda _: found.append(loop._transports.get(number)))
        found: list[Any] = []
        del connection.transport
        gc.collect()
        assert gone() is None
        assert found == [None]
        assert number not in loop._transports
        connection.far.close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(main())


def test_other_transports_are_in_the_table_too() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        number = transport.get_extra_info("socket").fileno()
        assert loop._transports[number] is transport
        assert list(loop._transports) == [number]
        transport.close()
        del loop._transports[number]
        assert len(loop._transports) == 0

    asyncio.run(main())


def test_an_idle_transport_is_small(backend: str) -> None:
    """Half of what a connection of uvloop's takes is the goal; the socket object and the protocol are a part of it."""
    if backend != "triga":
        pytest.skip("asyncio's has a dictionary, an addresses' tuple and more beside it")

    async def main() -> None:
        connection = await Connection.make(look)
        assert isinstance(asyncio.get_running_loop(), triga._core.LoopBase)
        assert sys.getsizeof(connection.transport) <= 296
        await connection.say(b"x")
        assert not [each for each in gc.get_referents(connection.transport) if type(each) is dict]
        await connection.close()

    asyncio.run(main())
