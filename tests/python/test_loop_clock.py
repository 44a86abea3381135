"""A program may put another clock in the place of loop.time(): timers go by it, as they do in asyncio."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from unittest import mock

import pytest

from tests.python.loops import run_turns

YEAR = 365 * 24 * 3600.0


def test_a_clock_that_is_assigned_to_the_loop(loop: Any) -> None:
    fired: list[int] = []
    now = loop.time()
    with mock.patch.object(loop, "time", return_value=now) as clock:
        loop.call_later(YEAR, fired.append, 2)
        loop.call_at(now + 10, fired.append, 1)
        run_turns(loop, 3)
        assert fired == []
        clock.return_value = now + 10
        run_turns(loop, 1)
        assert fired == [1]
        clock.return_value = now + YEAR + 1
        run_turns(loop, 1)
        assert fired == [1, 2]
        loop.call_later(0.0, fired.append, 3)
    run_turns(loop, 3)
    assert fired == [1, 2], "a year ahead by the loop's own clock"


def test_a_clock_that_is_assigned_while_the_loop_runs(loop: Any) -> None:
    """As aiohttp's own tests do."""

    async def main() -> list[str]:
        fired: list[str] = []
        loop.call_later(YEAR, fired.append, "fired")
        await asyncio.sleep(0)
        end = loop.time() + YEAR + 1
        with mock.patch.object(loop, "time", return_value=end):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return fired

    assert loop.run_until_complete(main()) == ["fired"]


def test_a_subclass_whose_clock_runs_slower(backend: str) -> None:
    class Slow(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return super().time() / 100

    async def main() -> float:
        begin = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)
        return asyncio.get_running_loop().time() - begin

    loop = Slow()
    begin = time.monotonic()
    assert loop.run_until_complete(main()) >= 0.001
    assert time.monotonic() - begin >= 0.1
    loop.close()


def test_what_a_clock_raises_ends_the_run(loop: Any) -> None:
    loop.call_later(0, print, "never")

    def fail() -> float:
        raise KeyError("the clock is broken")

    loop.time = fail
    with pytest.raises(KeyError, match="the clock is broken"):
        loop.run_forever()
    del loop.time
    assert isinstance(loop.time(), float)
