"""The mixins of test_asyncio.test_events, on the loop that asyncio.new_event_loop() gives."""

from __future__ import annotations

import asyncio

from test.test_asyncio import test_events as source
from test.test_asyncio.test_events import tearDownModule as tearDownModule


class FactoryLoopTests(source.EPollEventLoopTests):
    """CPython's tests, of a loop that the program does not name."""

    def create_event_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()
