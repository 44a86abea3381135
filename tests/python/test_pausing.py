"""pause_reading() and resume_reading(), which leave the descriptor registered until something arrives.

One body on asyncio's own transport, whose descriptor is taken off at once, and on triga's.
"""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from typing import Any

import pytest

import triga
from tests.python.recorder import connected

pytestmark = pytest.mark.usefixtures("backend")


def test_a_paused_transport_is_told_nothing_and_does_not_keep_the_loop_busy(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        transport.pause_reading()
        far.send(b"while paused")
        await asyncio.sleep(0.01)
        before = triga.stats()["loop_iterations"]
        await asyncio.sleep(0.05)
        assert triga.stats()["loop_iterations"] - before < 10
        assert protocol.told == ["made"]
        assert "read=idle" in repr(transport)
        assert not transport.is_reading()
        transport.resume_reading()
        await protocol.until(lambda: protocol.data == b"while paused")
        transport.close()
        await protocol.lost
        far.close()

    run(main)


def test_pausing_and_resuming_within_a_turn_loses_nothing(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        for number in range(50):
            far.send(b"%d " % number)
            transport.pause_reading()
            if number % 3 == 0:
                await asyncio.sleep(0)
            if number % 7 == 0:
                await asyncio.sleep(0.001)
            transport.resume_reading()
            if number % 2 == 0:
                await asyncio.sleep(0)
        expected = b"".join(b"%d " % number for number in range(50))
        await protocol.until(lambda: len(protocol.data) == len(expected))
        assert protocol.data == expected
        transport.close()
        await protocol.lost
        far.close()

    run(main)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_nothing_holds_a_paused_transport(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        transport.pause_reading()
        gone = weakref.ref(transport)
        protocol.transport = None
        del transport
        await asyncio.sleep(0)
        gc.collect()
        assert gone() is None
        far.settimeout(10)
        assert far.recv(1) == b""
        far.close()
        # The number is another's now, and nobody else hears of it.
        one, other = os.pipe()
        heard = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(one, lambda: heard.done() or heard.set_result(None))
        os.write(other, b"x")
        await heard
        asyncio.get_running_loop().remove_reader(one)
        os.close(one)
        os.close(other)

    run(main)


def test_eof_while_paused_is_told_after_resuming(run: Any) -> None:
    async def main() -> None:
        transport, protocol, far = await connected()
        transport.pause_reading()
        far.send(b"last words")
        far.close()
        await asyncio.sleep(0.01)
        assert protocol.told == ["made"]
        transport.resume_reading()
        await protocol.lost
        assert protocol.told == ["made", 10, "eof", "lost"]

    run(main)
