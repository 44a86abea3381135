"""multiprocessing.dummy: its names for the classes of threading and queue become the native ones."""

from __future__ import annotations

import queue
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from triga._patch import Replace


def _stock_class(native: type) -> type:
    """The standard library's class under a native one, or the class itself."""
    same = [each for each in native.__mro__ if (each.__module__, each.__name__) == (native.__module__, native.__name__)]
    return same[-1]


def _replace_imported(module: ModuleType, replace: Replace, names: dict[str, type]) -> None:
    """Replaces names that a module imported, so that uninstall() puts back the standard library's own."""
    for name, native in names.items():
        setattr(module, name, _stock_class(native))
        replace(module, name, native)


def patch_dummy(module: ModuleType, replace: Replace) -> None:
    """Puts the native classes into multiprocessing.dummy, which has them from threading and queue."""
    names = {
        name: getattr(threading, name) for name in ("Barrier", "Condition", "Event", "Semaphore", "BoundedSemaphore")
    }
    _replace_imported(module, replace, names | {"Queue": queue.Queue, "JoinableQueue": queue.Queue})


def patch_dummy_connection(module: ModuleType, replace: Replace) -> None:
    """The same for multiprocessing.dummy.connection, whose Pipe is two queues."""
    _replace_imported(module, replace, {"Queue": queue.Queue})
