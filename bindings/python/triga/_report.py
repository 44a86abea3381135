"""TRIGA_STATS=FILE: each process appends one line of JSON with its counters to FILE when it ends."""

from __future__ import annotations

import atexit
import os
import sys

from triga._hook import PatchingFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


class _Reporter:
    """Appends the line, once in a process, however many ways its end is noticed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reported = 0  # the process that did: a forked child inherits this and has not

    def report(self, *_: object) -> None:
        """Appends this process's line, unless it has been."""
        import gc

        # A collection here would run the program's finalizers earlier than the interpreter's end would.
        collects = gc.isenabled()
        gc.disable()
        try:
            self._append()
        finally:
            if collects:
                gc.enable()

    def _append(self) -> None:
        import json

        from triga import _core

        if self._reported == os.getpid():
            return
        self._reported = os.getpid()
        line = json.dumps({"pid": os.getpid(), **_core.counters()}) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def _finalize(reporter: _Reporter) -> None:
    # The lowest priority is run last.
    sys.modules["multiprocessing.util"].Finalize(None, reporter.report, exitpriority=-1000)


def report_at_exit() -> None:
    """Arranges the line, if the variable is set. Called once, at the start of the interpreter."""
    path = os.environ.get("TRIGA_STATS")
    if not path:
        return
    reporter = _Reporter(path)
    atexit.register(reporter.report)

    def arrange_in_children(util: ModuleType) -> None:
        # A forked child of multiprocessing ends by os._exit(), but runs its finalizers before. It forgets those that it
        # inherited, then does what was asked for here.
        util.register_after_fork(reporter, _finalize)

    sys.meta_path.insert(0, PatchingFinder({"multiprocessing.util": arrange_in_children}))
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        arrange_in_children(util)
