"""Attributes of the standard library that triga replaced, with what stood there before."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, TypeAlias

    # What a patch function is given to change a module or a class: replace(owner, name, new).
    Replace: TypeAlias = Callable[[Any, str, Any], None]

_MISSING: Any = object()


class Replaced:
    """A list of replaced attributes, undone in reverse order."""

    def __init__(self) -> None:
        self._entries: list[tuple[Any, str, Any, Any]] = []

    def __call__(self, owner: Any, name: str, new: Any) -> None:
        """Sets ``owner.name = new`` and remembers what was there."""
        old = vars(owner).get(name, _MISSING)
        setattr(owner, name, new)
        self._entries.append((owner, name, old, vars(owner)[name]))

    def undo(self) -> None:
        """Puts the old values back, except where somebody else has replaced ours since."""
        while self._entries:
            owner, name, old, new = self._entries.pop()
            if vars(owner).get(name, _MISSING) is not new:
                continue
            if old is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, old)


def native_class(module: ModuleType, make: Callable[[ModuleType], type]) -> type:
    """The native class for this copy of a module of the standard library, ``make(module)``, always the same.

    Kept by the module, patched or not: the class and the module end together.
    """
    names = vars(module)
    if "_triga_native_class" not in names:
        names["_triga_native_class"] = make(module)
    native: type = names["_triga_native_class"]
    return native
