"""The futures of a ProcessPoolExecutor: a task can be cancelled until a worker process has taken it."""

from __future__ import annotations

import os
from concurrent.futures import _base
from typing import TYPE_CHECKING, Any

from triga._threads import futures as native

if TYPE_CHECKING:
    from triga._processes.staff import Staff


class _Remote:
    """Asks the pool what has become of the task, which this process does not hear of before it is done."""

    __slots__ = ()

    _staff: Staff | None  # until the future is done
    _index: int

    def cancel(self: Any) -> bool:
        """Cancels the task if no worker process has taken it yet."""
        staff = self._staff
        if staff is None or staff.pid != os.getpid():
            return super().cancel()  # type: ignore[no-any-return,misc]
        if staff.take_back(self._index):
            self.dismiss()
        else:
            self.running()
        return self.cancelled()  # type: ignore[no-any-return]

    def running(self: Any) -> bool:
        """Whether a worker process is at it."""
        staff = self._staff
        if staff is not None and staff.is_running(self._index):
            self._note_running()
        return super().running()  # type: ignore[no-any-return,misc]

    def dismiss(self: Any) -> None:
        """Ends the future as cancelled, once its task cannot run any more; tells all who wait for it."""
        self._staff = None
        if super().cancel():  # type: ignore[misc]
            self.set_running_or_notify_cancel()

    def __repr__(self: Any) -> str:
        self.running()
        return super().__repr__()


class NativeFuture(_Remote, native.Future):
    """On the native Future."""

    __slots__ = ("_index", "_staff")


class StockFuture(_Remote, _base.Future):  # type: ignore[type-arg]
    """On the standard library's Future, where the native threads are not installed."""

    def _note_running(self) -> None:
        with self._condition:
            if self._state == _base.PENDING:
                self._state = _base.RUNNING


for _kind in (NativeFuture, StockFuture):
    _kind.__module__ = "concurrent.futures._base"
    _kind.__name__ = _kind.__qualname__ = "Future"
