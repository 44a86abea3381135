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
    """Replaced attributes, undone in reverse order. One that is replaced again is one entry still."""

    def __init__(self) -> None:
        # By the owner's id, which the entry keeps alive, and the name.
        self._entries: dict[tuple[int, str], tuple[Any, Any, Any]] = {}

    def __call__(self, owner: Any, name: str, new: Any) -> None:
        """Sets ``owner.name = new`` and remembers what was there."""
        key = (id(owner), name)
        old = vars(owner).get(name, _MISSING)
        if key in self._entries and self._entries[key][2] is old:  # ours
            old = self._entries[key][1]
        setattr(owner, name, new)
        self._entries[key] = (owner, old, vars(owner)[name])

    def undo(self) -> None:
        """Puts the old values back, except where somebody else has replaced ours since."""
        while self._entries:
            (_, name), (owner, old, new) = self._entries.popitem()
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
