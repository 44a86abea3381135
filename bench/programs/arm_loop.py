"""The arm's event loop, and a server program on it."""

import asyncio
import sys
from importlib import import_module


def loop_factory(arm):
    """What asyncio.Runner takes: None for asyncio's own, which is triga's where triga is installed."""
    return None if arm in ("stdlib", "triga") else import_module(arm).new_event_loop


def serve(arm, start):
    """Awaits START(), prints the place that it returns with what to keep alive, and serves until stdin is closed.

    Nothing is shut down: the caller ends the process with os._exit().
    """

    async def until_stdin_closes():
        kept, where = await start()
        print(where, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        del kept

    asyncio.Runner(loop_factory=loop_factory(arm)).run(until_stdin_closes())
