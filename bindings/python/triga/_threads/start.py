"""threading.Thread starts on cached OS threads: the start functions of ``threading`` are replaced, the class is not."""

from __future__ import annotations

import _thread
import os
import sys

from triga import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace

os.register_at_fork(before=_core.end_idle_threads, after_in_child=_core.forget_threads_after_fork)


def _shutdown_after(stock: Callable[[], None]) -> Callable[[], None]:
    """A ``threading._thread_shutdown`` that joins native threads and the standard library's."""

    def thread_shutdown() -> None:
        while True:
            native = _core.join_threads()
            stock()
            # A thread of one kind may have started one of the other, unless a signal ended the waiting.
            if not native or not _core.threads_to_join():
                return

    return thread_shutdown


def _patch_handles(module: ModuleType, replace: Replace) -> None:
    # These two stay when triga is uninstalled: a thread made natively has to be started and, at exit, joined all the
    # same. For the standard library's handles both do what the originals do.
    if module._start_joinable_thread is not _core.start_joinable_thread:
        _core.set_stock_start_joinable_thread(module._start_joinable_thread)
        module._start_joinable_thread = _core.start_joinable_thread  # type: ignore[attr-defined]
        module._thread_shutdown = _shutdown_after(module._thread_shutdown)  # type: ignore[attr-defined]
    replace(module, "_ThreadHandle", _core.ThreadHandle)


def _look_out_before(stock: Callable[[Any, bool, float], None]) -> Callable[[Any, bool, float], None]:
    """What join() waits with on 3.11 and 3.12, where it sleeps on a lock of CPython's: a look-out for the end first."""

    def _wait_for_tstate_lock(self: Any, block: bool = True, timeout: float = -1) -> None:
        if block and timeout != 0 and self._tstate_lock is not None:
            lease = self.__dict__.get("_triga_lease")
            if lease is not None:
                lease.look_out()
        stock(self, block, timeout)

    return _wait_for_tstate_lock


def _threads_are_allowed() -> bool:
    """False in a sub-interpreter that was made without threads, where the standard library's start refuses."""
    if sys.version_info < (3, 13) or _thread._is_main_interpreter():
        return True
    import _interpreters  # type: ignore[import-not-found]  # typeshed does not have it for 3.11

    return bool(_interpreters.get_config(_interpreters.get_current()[0]).allow_threads)


def _patch_count(replace: Replace) -> None:
    stock: Callable[[], int] = _thread._count
    if hasattr(stock, "counts_native_threads"):
        return

    def _count() -> int:
        """Return the number of currently running Python threads, excluding the main thread."""
        return stock() + _core.thread_count()

    _count.counts_native_threads = True  # type: ignore[attr-defined]
    replace(_thread, "_count", _count)


def patch_threading(module: ModuleType, replace: Replace) -> None:
    """Lets ``Thread.start`` of this copy of ``threading`` take its OS threads from the cache."""
    if not _threads_are_allowed():
        return
    _core.keep_stack_chunks()
    if sys.version_info >= (3, 13):
        _patch_handles(module, replace)
    else:
        replace(module, "_start_new_thread", _core.start_new_thread)
        replace(module.Thread, "_wait_for_tstate_lock", _look_out_before(module.Thread._wait_for_tstate_lock))
    _patch_count(replace)
