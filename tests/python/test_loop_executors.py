"""What executors and native futures bring to the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import selectors
import threading
import weakref
from typing import Any

import pytest

import triga
from tests.python.loops import run_turns
from triga import _core


def test_outcomes_of_executors_arrive_in_the_loop(loop: Any) -> None:
    def fail() -> None:
        raise KeyError("expected")

    async def main() -> None:
        here = threading.get_ident()
        assert await loop.run_in_executor(None, threading.get_ident) != here
        assert await asyncio.to_thread(lambda *args, **more: (args, more), 1, two=2) == ((1,), {"two": 2})
        with pytest.raises(KeyError):
            await loop.run_in_executor(None, fail)
        assert await asyncio.gather(*(loop.run_in_executor(None, int, str(n)) for n in range(500))) == list(range(500))
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="shutdown"):
            loop.run_in_executor(None, int)

    loop.run_until_complete(main())


def test_a_cancelled_wait_cancels_what_no_worker_has_begun(loop: Any) -> None:
    async def main() -> None:
        begun, gate, ran = threading.Event(), threading.Event(), list[int]()

        def block() -> None:
            begun.set()
            gate.wait()

        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            running = loop.run_in_executor(executor, block)
            waiting = loop.run_in_executor(executor, ran.append, 1)
            await asyncio.to_thread(begun.wait)
            waiting.cancel()
            running.cancel()  # cannot be stopped, but is waited for no more
            for future in (waiting, running):
                with pytest.raises(asyncio.CancelledError):
                    await future
            await asyncio.sleep(0)  # the cancellation goes on by callbacks of the loop
            gate.set()
        assert ran == []

    loop.run_until_complete(main())


def test_an_outcome_for_a_loop_that_closed_meanwhile_is_dropped(backend: str) -> None:
    gate = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    loop = asyncio.new_event_loop()
    loop.run_in_executor(executor, gate.wait).cancel()
    run_turns(loop)
    loop.close()
    gate.set()
    executor.shutdown()


def test_the_outcome_is_not_kept_alive_by_what_brought_it(loop: Any) -> None:
    class Outcome:
        """Anything that can be weakly referenced."""

    async def main() -> Any:
        return weakref.ref(await loop.run_in_executor(None, Outcome))

    gc.disable()
    try:
        reference = loop.run_until_complete(main())
        run_turns(loop)
        assert reference() is None or not isinstance(loop, _core.LoopBase)
    finally:
        gc.enable()
    loop.run_until_complete(loop.shutdown_default_executor())


def test_native_futures_are_awaited_as_they_are() -> None:
    async def main() -> None:
        executor: Any  # to mypy a concurrent future is no awaitable
        with concurrent.futures.ThreadPoolExecutor(2) as executor:
            assert await executor.submit(pow, 2, 5) == 32
            done = executor.submit(int)
            concurrent.futures.wait([done])
            assert await done == 0
            with pytest.raises(ZeroDivisionError):
                await executor.submit(divmod, 1, 0)
            gate = threading.Event()
            executor.submit(gate.wait)
            executor.submit(gate.wait)
            pending = executor.submit(int)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pending, 0.001)
            assert pending.cancelled()
            gate.set()

    with triga.installed():
        asyncio.run(main())
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            future: Any = executor.submit(int)
            with pytest.raises(RuntimeError, match="no running event loop"):
                future.__await__()
        # In asyncio's own loop, too.
        stock = lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())  # noqa: E731
        with asyncio.Runner(loop_factory=stock) as runner:
            runner.run(main())
