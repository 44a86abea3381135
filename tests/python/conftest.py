"""Fixtures for the package's tests."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import multiprocessing.pool
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import triga
from triga import _core

pytest_plugins = ["standard_arm"]

# Who runs the tests in the background of a shell hands down an ignored SIGINT, also to every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """A thread that a test left asleep keeps the interpreter from ending: its stack is shown, and the run fails."""
    faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)


@pytest.fixture(params=["stdlib", "triga"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test twice: with the standard library as it is, and with every part of triga installed.

    The test must reach classes through their modules (``queue.Queue``), as install() changes the modules' names.
    """
    if request.param == "stdlib":
        yield "stdlib"
    else:
        with triga.installed():
            yield "triga"


@pytest.fixture
def native(backend: str) -> bool:
    """Is it triga's turn?"""
    return backend == "triga"


@pytest.fixture
def pool(backend: str) -> Iterator[Any]:
    """A ThreadPool of three workers."""
    with multiprocessing.pool.ThreadPool(3) as made:
        yield made
    made.join()


@pytest.fixture
def loop(backend: str) -> Iterator[Any]:
    """A new loop of the backend."""
    made = asyncio.new_event_loop()
    assert isinstance(made, _core.LoopBase) == (backend == "triga")
    yield made
    made.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    """Runs a coroutine function on a new loop, within a minute, and fails on what its exception handler was told.

    Where ``expected_reports`` says how many reports there will be, the function gets the list of them.
    """
    reports: list[dict[str, Any]] = []

    def run_one(main: Any, expected_reports: int = 0) -> Any:
        async def body() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            return await asyncio.wait_for(main(reports) if expected_reports else main(), 60)

        result = asyncio.run(body())
        assert len(reports) == expected_reports, reports
        return result

    yield run_one
    gc.collect()
