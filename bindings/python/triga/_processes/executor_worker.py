"""What a worker process of a ProcessPoolExecutor runs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import _base, process
from contextlib import suppress

from triga import _core
from triga._processes.limits import limit_memory
from triga._processes.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _with_traceback(error: BaseException) -> Any:
    """The exception, with its traceback as text, which arrives as its ``__cause__``."""
    traced: Any = process._ExceptionWithTraceback
    return traced(error, error.__traceback__)


def _unsendable(error: BaseException, value: Any) -> Any:
    """What stands for a value that cannot be pickled or sent: why it cannot, and what it was."""
    error.add_note(f"triga: raised when the result of the task, {_short(value)}, was to be sent to its parent process")
    return _with_traceback(error)


def _short(value: Any) -> str:
    if hasattr(value, "exc") and isinstance(value.exc, BaseException):
        value = value.exc
    from triga._processes.errors import short_repr

    return short_repr(value)


class _InitializerError(Exception):
    """The initializer failed, which has been logged."""


def executor_worker(
    link: Link,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    max_tasks: int | None,
    memory_limit: int | None = None,
) -> None:
    """The target of an executor's worker processes."""

    def initialize() -> None:
        limit_memory(memory_limit)
        if initializer is None:
            return
        try:
            initializer(*initargs)
        except BaseException:
            _base.LOGGER.critical("Exception in initializer:", exc_info=True)
            raise _InitializerError from None

    given = (*link.open(), True, max_tasks or 0, link.make_pickler, initialize, _with_traceback, _unsendable)
    # After such an error the process ends; the parent sees that, and the executor is broken.
    with suppress(_InitializerError):
        _core.run_pool_worker(*given)
