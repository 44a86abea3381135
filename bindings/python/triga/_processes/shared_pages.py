"""Keeps the pages of the standard library's modules shared between a program that forks and its children.

Many of the pages that a forked process copies are written to for nothing but a reference count, and so are some of the
program's own meanwhile. Counts of immortal objects are not written.
"""

from __future__ import annotations

import sys
from types import ModuleType

from triga._core import consolidate_heap, make_modules_immortal
from triga._processes.preload import standard_modules

# It has a price, which one fork does not bring in: a program that has forked once is taken to go on.
_FORKS_BEFORE = 1
_forks = 0


def keep_shared() -> None:
    """Before each fork. Most of the work is done once."""
    global _forks
    _forks += 1
    if _forks > _FORKS_BEFORE:
        consolidate_heap()
    if _forks == _FORKS_BEFORE + 1:
        make_modules_immortal(_modules())


def _modules() -> list[ModuleType]:
    names = {name for name in list(sys.modules) if name.startswith("triga.")}
    return [sys.modules[name] for name in names.union(standard_modules()) if name in sys.modules]
