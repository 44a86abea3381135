"""threading.Condition with native waiting and waking, one class for each copy of module threading."""

from __future__ import annotations

from triga import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def condition_class(threading: Any) -> type[_core.Condition]:
    """The native Condition of a copy of threading: made at the first call, kept by the class that it derives from."""
    stock: type = threading.Condition
    if issubclass(stock, _core.Condition):
        return stock
    namespace = {"__module__": stock.__module__, "__qualname__": stock.__qualname__, "__doc__": stock.__doc__}
    return type(stock.__name__, (_core.Condition, stock), namespace)
