"""A floor under every event loop: asyncio's own tasks and futures on a ring of callbacks in C, and nothing else.

No loop can be this short: it knows no handles, timers, descriptors, signals, threads or debug mode. What runs on it
shows what asyncio's Task and Future and the program itself cost, whatever the loop.
"""

import asyncio
from asyncio import events

from least_loop_ring import Ring


class LeastLoop(Ring, asyncio.AbstractEventLoop):
    """As much of an event loop as asyncio.Runner and the scenarios of loop.py ask for."""

    def create_future(self):
        """One of asyncio's own."""
        return asyncio.Future(loop=self)

    def create_task(self, coro, **options):
        """One of asyncio's own."""
        return asyncio.Task(coro, loop=self, **options)

    def run_until_complete(self, future):
        """Runs callbacks until the future is done."""
        future = asyncio.ensure_future(future, loop=self)
        future.add_done_callback(lambda _: self.stop())
        events._set_running_loop(self)
        try:
            self.run_ready()
        finally:
            events._set_running_loop(None)
        return future.result()

    def get_debug(self):
        """Never."""
        return False

    def set_debug(self, enabled):
        """There is no such mode."""

    def is_running(self):
        """Whether run_until_complete() runs."""
        return events._get_running_loop() is self

    def is_closed(self):
        """Never: it has nothing to close."""
        return False

    def close(self):
        """It has nothing to close."""

    async def shutdown_asyncgens(self):
        """It does not know of any."""

    async def shutdown_default_executor(self, timeout=None):
        """It has none."""

    def call_exception_handler(self, context):
        """Errors end the measurement."""
        raise RuntimeError(context)


def new_event_loop():
    """What asyncio.Runner(loop_factory=) takes."""
    return LeastLoop()
