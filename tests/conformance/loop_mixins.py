# SPDX-License-Identifier: MIT
"""CPython's six event-loop test mixins against triga's loop: ``TRIGA=loop python -m unittest loop_mixins``.

In CPython's own suites these mixins meet loops that the tests build with a selector of their choice, which stay
asyncio's. Here each class makes its loop by ``asyncio.new_event_loop()``, and refuses to run on any but the native one.
"""

from __future__ import annotations

import asyncio
import unittest
from typing import Any

from test.test_asyncio import test_buffered_proto, test_events, test_sendfile, test_server, test_sock_lowlevel
from test.test_asyncio.utils import TestCase

from triga import _core


def native_loop() -> Any:
    """A new event loop, surely triga's."""
    loop = asyncio.new_event_loop()
    if not isinstance(loop, _core.LoopBase):
        loop.close()
        raise RuntimeError("triga's loop is not installed; set TRIGA=loop")
    return loop


class NativeLoop:
    """What the mixins ask for their loops by."""

    def create_event_loop(self) -> Any:
        """For EventLoopTestsMixin, SubprocessTestsMixin, BaseSockTestsMixin and SendfileTestsBase."""
        return native_loop()

    def new_loop(self) -> Any:
        """For BaseTestBufferedProtocol and BaseStartServer."""
        return native_loop()


_Events = getattr(test_events, "UnixEventLoopTestsMixin", test_events.EventLoopTestsMixin)


class EventLoopTests(NativeLoop, _Events, test_events.SubprocessTestsMixin, TestCase):
    """The loop as a whole, and its subprocesses."""


class SockTests(NativeLoop, test_sock_lowlevel.BaseSockTestsMixin, TestCase):
    """sock_recv() and its kin."""


class SendfileTests(NativeLoop, test_sendfile.SendfileTestsBase, TestCase):
    """sendfile() and sock_sendfile()."""


class BufferedProtocolTests(NativeLoop, test_buffered_proto.BaseTestBufferedProtocol, unittest.TestCase):
    """Protocols that supply the buffer."""


class StartServerTests(NativeLoop, test_server.BaseStartServer, unittest.TestCase):
    """start_server() and its Server."""


if __name__ == "__main__":
    unittest.main()
