"""Which modules a zygote imports before it serves: those of the standard library that the parent has imported.

Nothing of the program's own and nothing installed: the import of such a module may have effects, and a started process
has to show them once each. What the import of these has is known to be none.
"""

from __future__ import annotations

import os
import sys

_STANDARD_DIRECTORY = os.path.dirname(os.__file__)  # noqa: PTH120

# What a child runs before anything of its own; all else only if the parent has it.
_ALWAYS = ("multiprocessing.spawn", "multiprocessing.resource_tracker", "pkgutil", "runpy")

# Their import shows or changes something, or they are for a person at a terminal.
_TALKATIVE = {"antigravity", "this", "idlelib", "tkinter", "turtle", "turtledemo", "test", "lib2to3", "ensurepip"}
_INTERACTIVE = {"readline", "rlcompleter", "_pyrepl", "pdb", "code", "cmd", "venv"}
_STARTUP = {"__main__", "site", "sitecustomize", "usercustomize"}
_NEVER = _TALKATIVE | _INTERACTIVE | _STARTUP


def is_standard_path(path: str) -> bool:
    """True for a file or directory of the standard library (site-packages lies inside it and is not)."""
    return path.startswith(_STANDARD_DIRECTORY) and "-packages" not in path[len(_STANDARD_DIRECTORY) :]


def _is_standard(name: str, module: object) -> bool:
    root = name.partition(".")[0]
    if root in _NEVER or root not in sys.stdlib_module_names:
        return False
    spec = getattr(module, "__spec__", None)
    if spec is None or spec.name != name:
        return False
    # A program's own random.py is no module of the standard library.
    return spec.origin in ("built-in", "frozen") or (spec.origin is not None and is_standard_path(spec.origin))


def standard_modules() -> list[str]:
    """The names, in the order of import."""
    names = list(_ALWAYS)
    names += [name for name, module in list(sys.modules.items()) if _is_standard(name, module)]
    names += [name for name in list(sys.modules) if name.startswith("triga._processes.")]  # what workers run
    return list(dict.fromkeys(names))


def import_named(names: list[str], path: list[str], directory: str | None) -> None:
    """Imports the modules that the user named, from where the program would; says on stderr which could not be."""
    if not names:
        return
    before = sys.path[:]
    sys.path[:] = [os.path.join(directory, each) if directory else each for each in path]  # noqa: PTH118
    try:
        for name in names:
            try:
                __import__(name)
            except Exception as error:
                print(f"triga: preload: {name!r} was not imported: {error!r}", file=sys.stderr, flush=True)
    finally:
        sys.path[:] = before


def import_all(names: list[str]) -> None:
    """Imports them from the standard library's directories only; one that cannot be imported is passed over."""
    before = sys.path[:]
    sys.path[:] = [path for path in before if is_standard_path(path) or path.endswith(".zip")]
    try:
        for name in names:
            try:
                __import__(name)
            except Exception:  # the child that needs it will say so
                continue
    finally:
        sys.path[:] = before
