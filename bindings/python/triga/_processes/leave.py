"""How a spawned process ends: as an interpreter does, without tearing down what it shares with the zygote.

Finalising an interpreter costs five times what the rest of a short process costs, nearly all of it for the standard
library's modules, each page of which has to be copied first. So their teardown is left out: threads are joined, atexit
handlers run, the modules that this process imported are cleared as the interpreter clears them (which calls __del__
and closes files), streams are flushed, and the process exits. Where an extension module was loaded that the zygote
does not have, whose library may want to do something at exit, the interpreter is finalised after all.
"""

from __future__ import annotations

import atexit
import gc
import sys
import threading
from importlib.machinery import ExtensionFileLoader
from multiprocessing import process

from triga._core import exit_without_teardown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

    from triga._core import WorkingSet


def _loaded_extension(names: list[str]) -> bool:
    return any(isinstance(getattr(sys.modules[name], "__loader__", None), ExtensionFileLoader) for name in names)


def _clear(namespace: dict[str, Any]) -> None:
    """As _PyModule_ClearDict: names with one underscore first, then all but __builtins__."""
    for name in list(namespace):
        if name.startswith("_") and not name.startswith("__"):
            namespace[name] = None
    for name in list(namespace):
        if name != "__builtins__":
            namespace[name] = None


def _forget_modules(names: list[str]) -> None:
    modules: list[ModuleType] = [sys.modules.pop(name) for name in reversed(names)]
    process._current_process = None  # type: ignore[attr-defined]
    namespaces = [vars(module) for module in modules]
    modules.clear()
    gc.collect()
    for namespace in namespaces:
        _clear(namespace)
    namespaces.clear()
    gc.collect()


class Inherited:
    """What a process has from the zygote.

    ``known`` are the modules of the standard library, ``shared`` all modules: those that the user named for preloading
    too, which are cleared at the end, but whose libraries are as loaded in every process. ``pages`` are the pages that
    it will need, which the zygote's next clones are to learn of; None where they would need others.
    """

    def __init__(self, known: frozenset[str], shared: frozenset[str], pages: WorkingSet | None) -> None:
        self.known = known
        self.shared = shared
        self.pages = pages


def leave(code: int, inherited: Inherited) -> NoReturn:
    """Ends this process with CODE."""
    threading._shutdown()  # type: ignore[attr-defined]
    names = [name for name in sys.modules if name not in inherited.known]
    if _loaded_extension([name for name in names if name not in inherited.shared]):
        if inherited.pages is not None:
            inherited.pages.learn()
        sys.exit(code)
    atexit._run_exitfuncs()
    _forget_modules([*names, "__main__"])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            try:
                stream.flush()
            except OSError:
                code = 120  # as Py_Exit
    if inherited.pages is not None:
        inherited.pages.learn()
    exit_without_teardown(code)
