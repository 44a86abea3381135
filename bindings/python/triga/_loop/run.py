"""The native loop by its own name, with nothing patched."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from triga._loop.event_loop import EventLoop

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new native event loop, whether or not triga is installed: a factory for asyncio.Runner, uvicorn and others."""
    loop: asyncio.AbstractEventLoop = EventLoop()
    return loop


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """:func:`asyncio.run` on a native event loop, whether or not triga is installed.

    Args:
        main: the coroutine to run until it is done.
        debug: asyncio's debug mode; None leaves it as PYTHONASYNCIODEBUG and -X dev have it.

    Returns:
        What the coroutine returned.

    Raises:
        RuntimeError: a loop is running in this thread already.
        ValueError, TypeError: ``main`` is no coroutine; as asyncio.run() of this version has it.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("triga.run() cannot be called from a running event loop; await the coroutine instead")
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)
