"""The lazy import hook: patches a module of the standard library as soon as it has been executed.

A module is patched by whichever import executes it, so fresh copies (as CPython's own tests make them) and
sub-interpreters are reached, and activation itself imports neither ``threading`` nor ``asyncio``, which CPython's
suite checks (test_import_from_another_thread). The classes have no base in importlib.abc, whose import would triple
the interpreter's start-up time.

A patch imports modules of this package. Where one of those is imported first (a worker's pickle may name it) and
imports the standard module itself, the patch would find it half made: so such patches wait until that import is over,
as if triga had been installed then.
"""

from __future__ import annotations

import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


# The threads that run a patch, and those that import a module of this package outside of one, with what waits for that.
_patching: set[int] = set()
_postponed: dict[int, list[Callable[[], None]]] = {}


def run_patch(patch: Callable[[], None]) -> None:
    """Calls PATCH; what it imports is patched at once."""
    thread = get_ident()
    if thread in _patching:
        patch()
        return
    _patching.add(thread)
    try:
        patch()
    finally:
        _patching.discard(thread)


def _patch_in_time(patch: Callable[[], None]) -> None:
    waiting = _postponed.get(get_ident())
    if waiting is None:
        run_patch(patch)
    else:
        waiting.append(patch)


class _Loader:
    """A module's own loader, which executes the module under its own name."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does, and the module does not know of this one."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class PatchingLoader(_Loader):
    """A module's own loader, plus one call after the module was executed."""

    def __init__(self, loader: Any, executed: Callable[[ModuleType], None]) -> None:
        super().__init__(loader)
        self._executed = executed

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module, then patches it."""
        super().exec_module(module)
        _patch_in_time(lambda: self._executed(module))


class OwnLoader(_Loader):
    """The loader of a module of this package's, plus the patches that had to wait for it."""

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module, then patches what it has imported."""
        thread = get_ident()
        if thread in _patching or thread in _postponed:
            super().exec_module(module)
            return
        waiting = _postponed[thread] = []
        try:
            super().exec_module(module)
        finally:
            del _postponed[thread]
            for patch in waiting:
                run_patch(patch)


def _spec_of_others(asking: Any, name: str, path: Any, target: ModuleType | None) -> ModuleSpec | None:
    """What the finders after the asking one say, which may patch the module, too, for another part."""
    finders = list(sys.meta_path)
    for finder in finders[finders.index(asking) + 1 :] if asking in finders else ():
        spec = finder.find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


class OwnFinder:
    """Finds the modules of this package, with a loader that lets patches wait."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the other finders give for a module of Python code; None for any other module."""
        if not name.startswith("triga._") or name == "triga._core":
            return None
        spec = _spec_of_others(self, name, path, target)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            own: Any = OwnLoader(spec.loader)
            spec.loader = own
        return spec


class PatchingFinder:
    """Finds the modules that have a patch function, through the finders that would find them anyway."""

    def __init__(self, patches: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the other finders give, with a loader that patches; None for any other module."""
        executed = self._patches.get(name)
        if executed is None:
            return None
        spec = _spec_of_others(self, name, path, target)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            patching: Any = PatchingLoader(spec.loader, executed)
            spec.loader = patching
        return spec
