"""What a program that forks again and again does about the pages that it shares with its children.

Many of the pages that a forked process copies are written to for nothing but a reference count, and so are some of the
program's own meanwhile. Counts of immortal objects are not written. The pages that a child writes to all the same,
which the next ones will too, are then copied by the fork itself (runtime/proc/copied_pages.h).
"""

from __future__ import annotations

import os
import sys
from multiprocessing import process

from triga._core import WorkingSet, collapse_filled_memory, consolidate_heap, make_modules_immortal

# A program's memory changes as it runs, so what its children write to is asked anew when it has forked so many times
# more often.
_OFTENER = 8
# At each of these occasions the program's memory is moved into huge pages, of which a fork copies one entry and not
# 512, for as many seconds at most.
_LONGEST_PAUSE = 0.01


class _Program:
    """The forks of one process, which its children take no account of."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.forks = 0
        self.kept_modules = False
        # What children write to; copied: the fork has been told of it.
        self.pages: WorkingSet | None = None
        self.copied = False
        self.next_lesson = 0

    def begin_lesson(self) -> None:
        goes_on, self.next_lesson = self.next_lesson > 0, _OFTENER * self.forks
        self.pages, self.copied = WorkingSet(), False
        if goes_on:
            # What would be copied by the fork is not moved, so between the two lists.
            collapse_filled_memory(_LONGEST_PAUSE)


_program = _Program()


def before_fork() -> None:
    """Before each fork. Most of the work is done once.

    It has a price, which a few forks do not bring in. A program that forks again after a child of its has ended is
    taken to go on; one that forks the workers of a pool, and no more, is spared.
    """
    global _program
    if _program.pid != os.getpid():
        _program = _Program()
    program = _program
    ended = program.forks - len(process._children)  # type: ignore[attr-defined]
    program.forks += 1
    if ended <= 0:
        return
    consolidate_heap()
    if not program.kept_modules:
        program.kept_modules = True
        _keep_modules()
    if program.forks >= program.next_lesson:
        program.begin_lesson()


def after_fork() -> None:
    """After each fork, in the program, while the child lives."""
    program = _program
    if program.pages is not None and not program.copied:
        program.copied = program.pages.copy_at_fork() is not None


def before_exit() -> None:
    """At the end of a child."""
    program = _program
    if program.pages is not None and not program.copied:
        program.pages.learn()


def _keep_modules() -> None:
    from triga._processes.preload import standard_modules

    names = {name for name in list(sys.modules) if name.startswith("triga.")}
    make_modules_immortal([sys.modules[name] for name in names.union(standard_modules()) if name in sys.modules])
