"""What a pool's worker process runs.

``multiprocessing.pool`` is imported late: patching it imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import util

from triga import _core
from triga._processes.limits import limit_memory
from triga._processes.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def with_traceback(error: BaseException) -> Any:
    """The exception, with its traceback as text, which arrives as its ``__cause__``."""
    from multiprocessing import pool

    return pool.ExceptionWithTraceback(error, error.__traceback__)  # type: ignore[attr-defined]


def without_traceback(error: BaseException) -> Any:
    """The exception alone."""
    return error


def unsendable(error: BaseException, value: Any) -> Any:
    """What stands for a value that cannot be pickled or sent."""
    from multiprocessing import pool

    if isinstance(value, pool.ExceptionWithTraceback):  # type: ignore[attr-defined]
        value = value.exc  # which says what it was; the wrapper does not
    # Its text has the value's whole repr. Where it was memory that was wanting, that would not find any either.
    unsent = _Shortened(value) if isinstance(error, OSError) else value
    return pool.MaybeEncodingError(error, unsent)  # type: ignore[attr-defined]


class _Shortened:
    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        from triga._processes.errors import short_repr

        return short_repr(self._value)


def pool_worker(
    link: Link,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    maxtasks: int | None,
    wrap_exception: bool,
    memory_limit: int | None = None,
) -> None:
    """The target of a Pool's worker processes."""

    def initialize() -> None:
        limit_memory(memory_limit)
        if initializer is not None:
            initializer(*initargs)

    descriptors, make_pickler = link.open(), link.make_pickler
    wrap_error = with_traceback if wrap_exception else without_traceback
    _core.run_pool_worker(*descriptors, False, maxtasks or 0, make_pickler, initialize, wrap_error, unsendable)
    util.debug("pool worker exiting")
