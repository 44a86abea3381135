"""The fork start method.

The fork itself is ``os.fork``, looked up at each call: it raises the audit event, gives 3.12's warning of a fork in a
process with threads, and is what gevent and others replace.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import process, util
from types import ModuleType

from triga._core import ChildProcess
from triga._processes import shared_pages
from triga._processes.child import native_bases, own_pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# From 3.13 a child runs its own atexit handlers; before, BaseProcess._bootstrap calls util._exit_function itself.
_CHILD_RUNS_ATEXIT = sys.version_info >= (3, 13)


@contextmanager
def _kept_tracker(intent: Any) -> Iterator[None]:
    # As popen_fork does from 3.14: tells the resource tracker's fork handler to keep the inherited descriptor.
    intent.preserve_fd = True
    try:
        yield
    finally:
        intent.preserve_fd = False


def _tracker_kept() -> AbstractContextManager[None]:
    # Without the module there is no such handler, and in most programs that fork there is not.
    intent = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_fork_intent", None)
    return nullcontext() if intent is None else _kept_tracker(intent)


def _run_child(process_obj: process.BaseProcess, parent_sentinel: int) -> None:
    code = 1
    try:
        if _CHILD_RUNS_ATEXIT:
            atexit._clear()
            atexit.register(util._exit_function)  # type: ignore[attr-defined]
        code = process_obj._bootstrap(parent_sentinel=parent_sentinel)  # type: ignore[attr-defined]
    finally:
        if _CHILD_RUNS_ATEXIT:
            atexit._run_exitfuncs()
        try:
            shared_pages.before_exit()
        finally:
            os._exit(code)


def _owned(pid: int) -> ChildProcess:
    try:
        return ChildProcess(pid)
    except OSError:
        # No descriptor was free: nobody could wait for this process as one waits for the others.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def make_popen(module: ModuleType) -> type:
    """A native Popen on top of the class that ``module``, a copy of multiprocessing.popen_fork, defines."""

    class Popen(*native_bases(module.Popen)):  # type: ignore[misc]
        method = "fork"

        def _launch(self, process_obj: process.BaseProcess) -> None:
            parent_sentinel = own_pidfd()
            shared_pages.before_fork()
            with _tracker_kept():
                pid = os.fork()
            if pid == 0:
                _run_child(process_obj, parent_sentinel)
            self._adopt(_owned(pid))
            shared_pages.after_fork()

    Popen.__module__ = module.__name__
    Popen.__qualname__ = "Popen"
    return Popen
