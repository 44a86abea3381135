"""threading.Condition, Event, Semaphore and BoundedSemaphore as native classes, one set for each copy of threading.

Each derives from the standard class of its copy, whose remaining methods (``__repr__``, ``wait_for``, deprecated
spellings) it keeps. Barrier stays Python, over the native Condition.
"""

from __future__ import annotations

from triga import _core
from triga._threads.barrier import barrier_class
from triga._threads.conditions import condition_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from triga._patch import Replace


def _native_class(threading: Any, name: str, *natives: type) -> type:
    stock: type = getattr(threading, name)
    family = _core.ClassFamily(vars(threading), stock, threading.Condition)
    namespace = {
        "__module__": stock.__module__,
        "__qualname__": stock.__qualname__,
        "__doc__": stock.__doc__,
        "_family": family,
    }
    return type(name, (*natives, stock), namespace)


def patch_threading(threading: Any, replace: Replace) -> None:
    """Puts the native classes into a copy of module ``threading``."""
    replace(threading, "Condition", condition_class(threading))
    replace(threading, "Event", _native_class(threading, "Event", _core.Event))
    semaphore = _native_class(threading, "Semaphore", _core.Semaphore)
    bounded = _native_class(threading, "BoundedSemaphore", _core.BoundedSemaphore, semaphore)
    replace(threading, "Semaphore", semaphore)
    replace(threading, "BoundedSemaphore", bounded)
    replace(threading, "Barrier", barrier_class(threading))
