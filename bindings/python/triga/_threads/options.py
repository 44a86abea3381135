"""What triga's ThreadPoolExecutor offers beyond the standard library's: limits of an executor, options of a task."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def check_limits(max_queue: int | None, idle_timeout: float | None) -> None:
    """Raises for what is no limit of an executor."""
    if max_queue is not None:
        if not isinstance(max_queue, int):
            raise TypeError(f"max_queue must be an integer or None, not {type(max_queue).__name__}")
        if max_queue < 1:
            raise ValueError("max_queue must be greater than 0, or None for no limit")
    if idle_timeout is not None and not idle_timeout > 0:
        raise ValueError("idle_timeout must be a number of seconds greater than 0, or None")


class SubmitOptions:
    """The executor with options for the tasks that are submitted through this object.

    ``priority``: tasks with a greater one go first, those with an equal one in the order of their submission; without
    options it is 0. ``deadline``: seconds that a task may wait for a worker; its future gets TimeoutError once they are
    over, and the task is not run. ``timeout``: seconds that a submit waits while ``max_queue`` tasks wait already,
    before it raises queue.Full; None: as long as it takes. An object may be kept and used for any number of tasks.
    """

    __slots__ = ("_deadline", "_executor", "_priority", "_timeout")

    def __init__(self, executor: Any, priority: int, deadline: float | None, timeout: float | None) -> None:
        if not isinstance(priority, int):
            raise TypeError(f"priority must be an integer, not {type(priority).__name__}")
        for name, value in (("deadline", deadline), ("timeout", timeout)):
            if value is not None and not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number of seconds or None, not {type(value).__name__}")
        self._executor = executor
        self._priority = priority
        self._deadline = deadline
        self._timeout = timeout

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Schedules fn(*args, **kwargs) with these options and returns a Future for its outcome."""
        executor = self._executor
        if self._deadline is not None and executor._attendant is None:
            executor._attend()
        return executor._submit_with(self._priority, self._deadline, self._timeout, fn, *args, **kwargs)

    def submit_native(self, function: Any, /, *args: Any) -> Any:
        """Schedules a call of native code, which a worker makes without the GIL, and returns a Future for its result.

        ``function`` is a function pointer of ctypes (with ``argtypes`` set) or cffi, a numba cfunc, a capsule whose
        name is a C signature, a LowLevelCallable, or what :func:`triga.native_function` made of one. Arguments are
        checked now: TypeError, ValueError or BufferError says which does not fit. Buffers stay exported until the call
        is over.
        """
        from triga._native.signatures import native_function

        call = native_function(function).call(args)
        executor = self._executor
        if executor._attendant is None and (self._deadline is not None or executor._work_queue.wants_attendant()):
            executor._attend()
        return executor._submit_with(self._priority, self._deadline, self._timeout, call)
