"""Module queue: Queue, LifoQueue, PriorityQueue and SimpleQueue as native classes, one set for each copy of the module.

The native classes derive from the standard ones of their copy, so that a reference to the standard class which was
taken before still accepts them. SimpleQueue does not: the standard one is a C type whose memory it would have to carry
along, and CPython's suite pins its size.
"""

from __future__ import annotations

import sys

from triga import _core
from triga._threads.conditions import condition_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace


def _native_class(stock: type, bases: tuple[type, ...], order: str, family: _core.ClassFamily) -> type:
    namespace = {
        "__module__": stock.__module__,
        "__qualname__": stock.__qualname__,
        "__doc__": stock.__doc__,
        "_family": family,
    }
    native = type(stock.__name__, bases, namespace)
    _core.add_queue_hooks(native, order)
    return native


def _simple_queue(module: ModuleType) -> type:
    native = _core.new_simple_queue_type(_core)
    native.__module__ = module.SimpleQueue.__module__
    native._family = _core.ClassFamily(vars(module), module.SimpleQueue, None)  # type: ignore[attr-defined]
    return native


def patch__queue(module: ModuleType, replace: Replace) -> None:
    """Puts a native SimpleQueue into a copy of module ``_queue``, which a copy of ``queue`` then imports it from."""
    replace(module, "SimpleQueue", _simple_queue(module))


def patch_queue(module: Any, replace: Replace) -> None:
    """Puts the native classes into a copy of module ``queue``."""
    condition = condition_class(module.threading)
    family = _core.ClassFamily(vars(module), module.Queue, condition)
    queue = _native_class(module.Queue, (_core.Queue, module.Queue), "fifo", family)
    _core.add_queue_methods(queue)
    for name, order in (("LifoQueue", "lifo"), ("PriorityQueue", "priority")):
        stock = getattr(module, name)
        native_family = _core.ClassFamily(vars(module), stock, condition)
        replace(module, name, _native_class(stock, (queue, stock), order, native_family))
    replace(module, "Queue", queue)
    if isinstance(getattr(module.SimpleQueue, "_family", None), _core.ClassFamily):
        return
    # This copy was imported before _queue was patched, or has no _queue (then SimpleQueue is a class in Python).
    twin = sys.modules.get("_queue")
    shared = twin is not None and twin.Empty is module.Empty
    replace(module, "SimpleQueue", twin.SimpleQueue if twin is not None and shared else _simple_queue(module))
