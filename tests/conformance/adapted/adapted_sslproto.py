"""BaseStartTLS of test_asyncio.test_sslproto, on the loop that asyncio.new_event_loop() gives."""

from __future__ import annotations

import asyncio

from test.test_asyncio import test_sslproto as source
from test.test_asyncio.test_sslproto import tearDownModule as tearDownModule


class FactoryLoopTests(source.SelectorStartTLSTests):
    """CPython's tests, of a loop that the program does not name."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()
