"""Puts the native loop under asyncio's names. No policy object is involved, so a program's own policy wins."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triga._patch import Replace

# The names that a module has for the selector loop; EventLoop is 3.13's and later.
_NAMES = ("SelectorEventLoop", "EventLoop")


def patch_unix_events(module: ModuleType, replace: Replace) -> None:
    """asyncio.unix_events: the names, and the factory of the default policy, through which new_event_loop() goes."""
    if sys.modules.get("asyncio.unix_events") is not module:
        return  # a copy that a test made beside the real one; the native loop is bound to the real one's classes
    from triga._loop.event_loop import EventLoop

    for name in _NAMES:
        if hasattr(module, name):
            replace(module, name, EventLoop)
    replace(module._UnixDefaultEventLoopPolicy, "_loop_factory", EventLoop)


def patch_asyncio(module: ModuleType, replace: Replace) -> None:
    """asyncio: the names that it took from asyncio.unix_events when it was imported."""
    from triga._loop.event_loop import EventLoop, StockEventLoop

    for name in _NAMES:
        if hasattr(module, name):
            setattr(module, name, StockEventLoop)  # what uninstall() is to put back
            replace(module, name, EventLoop)
