"""TRIGA_STATS=FILE: each process appends one line of JSON with its counters to FILE when it ends."""

from __future__ import annotations

import atexit
import os
import sys


class _Reporter:
    """Appends the line, once in a process, however many ways its end is noticed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reported = 0  # the process that did: a forked child inherits this and has not

    def report(self, *_: object) -> None:
        """Appends this process's line, unless it has been."""
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

    def arrange_in_child(self) -> None:
        """In a forked child: a child of multiprocessing ends by os._exit(), but runs its finalizers before.

        It forgets the finalizers that it inherited first, so ours is registered by what it runs after that.
        """
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.register_after_fork(self, _finalize)


def _finalize(reporter: _Reporter) -> None:
    # The lowest priority is run last.
    sys.modules["multiprocessing.util"].Finalize(None, reporter.report, exitpriority=-1000)


_reporter: _Reporter | None = None


def report_at_exit() -> None:
    """Arranges the line, if the variable is set and nobody has arranged it yet."""
    global _reporter
    path = os.environ.get("TRIGA_STATS")
    if path and _reporter is None:
        _reporter = _Reporter(path)
        atexit.register(_reporter.report)
        os.register_at_fork(after_in_child=_reporter.arrange_in_child)
