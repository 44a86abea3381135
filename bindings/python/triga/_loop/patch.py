"""Puts the native loop under asyncio's names. No policy object is involved, so a program's own policy wins."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from triga import _core

if TYPE_CHECKING:
    from triga._patch import Replace

# The names that a module has for the selector loop; EventLoop is 3.13's and later.
_NAMES = ("SelectorEventLoop", "EventLoop")

_stock_create_task: Any = None  # asyncio's own, where another was put in its place


def patch_tasks(module: ModuleType, replace: Replace) -> None:
    """asyncio.tasks: create_task(), which from 3.14 on does no more than call the running loop's."""
    global _stock_create_task
    if sys.version_info < (3, 14) or sys.modules.get("asyncio.tasks") is not module:
        return
    _stock_create_task = module.create_task
    native = _core.make_create_task(sys.modules["asyncio.events"], _stock_create_task)
    replace(module, "create_task", _core.FunctionLike(native, _stock_create_task))


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
    names: Any = module
    native = sys.modules["asyncio.tasks"].create_task
    if _stock_create_task is not None and names.create_task in (native, _stock_create_task):
        names.create_task = _stock_create_task
        replace(module, "create_task", native)
