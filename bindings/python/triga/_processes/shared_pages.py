"""Keeps the pages of the standard library's modules shared between a program that forks and its children.

Many of the pages that a forked process copies are written to for nothing but a reference count, and so are some of the
program's own meanwhile. Counts of immortal objects are not written.
"""

from __future__ import annotations

import sys
from multiprocessing import process

from triga._core import consolidate_heap, make_modules_immortal

_forks = 0
_done = False


def keep_shared() -> None:
    """Before each fork. Most of the work is done once.

    It has a price, which a few forks do not bring in. A program that forks again after a child of its has ended is
    taken to go on; one that forks the workers of a pool, and no more, is spared.
    """
    global _forks, _done
    ended = _forks - len(process._children)  # type: ignore[attr-defined]
    _forks += 1
    if ended <= 0:
        return
    consolidate_heap()
    if not _done:
        _done = True
        _keep_modules()


def _keep_modules() -> None:
    from triga._processes.preload import standard_modules

    names = {name for name in list(sys.modules) if name.startswith("triga.")}
    make_modules_immortal([sys.modules[name] for name in names.union(standard_modules()) if name in sys.modules])
