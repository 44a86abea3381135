"""BaseStartServer of test_asyncio.test_server, on the loop that asyncio.new_event_loop() gives."""

from __future__ import annotations

import asyncio

from test.test_asyncio import test_server as source
from test.test_asyncio.test_server import tearDownModule as tearDownModule


class FactoryLoopTests(source.SelectorStartServerTests):
    """CPython's tests, of a loop that the program does not name."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()
