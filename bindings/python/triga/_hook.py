"""The lazy import hook: patches a module of the standard library as soon as it has been executed.

A module is patched by whichever import executes it, so fresh copies (as CPython's own tests make them) and
sub-interpreters are reached, and activation itself imports neither ``threading`` nor ``asyncio``, which CPython's
suite checks (test_import_from_another_thread). The classes have no base in importlib.abc, whose import would triple
the interpreter's start-up time.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class PatchingLoader:
    """A module's own loader, plus one call after the module was executed."""

    def __init__(self, loader: Any, executed: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._executed = executed

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module under its own loader's name, then patches it."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._executed(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class PatchingFinder:
    """Finds the modules that have a patch function, through the finders that would find them anyway."""

    def __init__(self, patches: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the other finders give, with a loader that patches; None for any other module."""
        executed = self._patches.get(name)
        if executed is None:
            return None
        # Those that come later, which may patch it, too: a module can have patches of several parts.
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :] if self in finders else ():
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    patching: Any = PatchingLoader(spec.loader, executed)
                    spec.loader = patching
                return spec
        return None
