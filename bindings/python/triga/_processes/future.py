"""The futures of a ProcessPoolExecutor: a task can be cancelled until a worker process has taken it."""

from __future__ import annotations

import os
from concurrent.futures import _base

from triga._threads import futures as native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from triga._processes.staff import Staff
    from triga._processes.task_metadata import TaskMetadata


class _Remote:
    """Asks the pool what has become of the task, which this process does not hear of before it is done."""

    __slots__ = ()

    _staff: Staff | None  # until the future is done
    _index: int
    _task: Any  # the function, while the future is pending, where an error may have to name it
    _usage: tuple[float, float, int]  # absent where nobody measured
    _killed: bool  # absent unless the task was cancelled while it ran

    def cancel(self: Any, *, running: bool = False) -> bool:
        """Cancels the task if no worker process has taken it yet; with ``running``, by its worker's death, if one has.

        The worker is killed (SIGKILL) and replaced. Returns whether the future is cancelled now.
        """
        staff = self._staff
        if staff is None or staff.pid != os.getpid():
            return getattr(self, "_killed", False) or super().cancel()  # type: ignore[misc]
        if staff.take_back(self._index):
            self.dismiss()
        elif running and staff.kill_task(self._index):
            self.dismiss_running()
        else:
            self.running()
        return self.cancelled()  # type: ignore[no-any-return]

    def cancelled(self: Any) -> bool:
        """Whether it was cancelled, before a worker had taken its task or while it ran."""
        return getattr(self, "_killed", False) or super().cancelled()  # type: ignore[misc]

    @property
    def metadata(self: Any) -> TaskMetadata | None:
        """What the task took, if that was asked for (``measure=True``) and it has been answered."""
        usage = getattr(self, "_usage", None)
        if usage is None:
            return None
        from triga._processes.task_metadata import TaskMetadata

        return TaskMetadata(*usage)

    def __await__(self: Any) -> Generator[Any, None, Any]:
        """Waits for the result inside an event loop."""
        import asyncio

        return asyncio.wrap_future(self).__await__()

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

    def dismiss_running(self: Any) -> None:
        """Ends the future as cancelled, when its task has begun and will not end."""
        self._staff = None
        if super().cancel():  # type: ignore[misc]
            self.set_running_or_notify_cancel()
        else:
            # It has been seen running, from where the standard states lead to an outcome only.
            self._killed = True
            self.set_exception(_base.CancelledError("the task was cancelled while it ran"))

    def __repr__(self: Any) -> str:
        self.running()
        return super().__repr__()


class NativeFuture(_Remote, native.Future):
    """On the native Future."""

    __slots__ = ("_index", "_killed", "_staff", "_task", "_usage")


class StockFuture(_Remote, _base.Future):  # type: ignore[type-arg]
    """On the standard library's Future, where the native threads are not installed."""

    def _note_running(self) -> None:
        with self._condition:
            if self._state == _base.PENDING:
                self._state = _base.RUNNING


for _kind in (NativeFuture, StockFuture):
    _kind.__module__ = "concurrent.futures._base"
    _kind.__name__ = _kind.__qualname__ = "Future"
