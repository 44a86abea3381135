"""What files and buffers have in common: arguments, the outcome of each item."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def hash_library() -> str:
    """An extension module that is linked with libcrypto, for a Python that brings its own; empty if there is none."""
    try:
        import _hashlib
    except ImportError:
        return ""
    return getattr(_hashlib, "__file__", None) or ""


def list_of_paths(paths: Iterable[str | bytes | os.PathLike[Any]]) -> tuple[list[Any], list[bytes]]:
    """The paths as they were given, and as the system wants them. Raises TypeError and ValueError as open() does."""
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise TypeError(f"paths: expected several paths, got one {type(paths).__name__!r}")
    given = list(paths)
    encoded = [os.fsencode(each) for each in given]
    for name in encoded:
        if b"\0" in name:
            raise ValueError("embedded null byte")
    return given, encoded


def outcomes(
    results: list[Any],
    errors: list[int | str | None],
    error_of: Callable[[int, int | str], BaseException],
    return_exceptions: bool,
) -> list[Any]:
    """The results with an exception in the place of each item that failed; raises the first of them if told to."""
    for at, error in enumerate(errors):
        if error is None:
            continue
        exception = error_of(at, error)
        if not return_exceptions:
            raise exception
        results[at] = exception
    return results


def os_error(number: int, name: Any = None) -> OSError | MemoryError:
    """The exception of an errno, about a file if there is one."""
    import errno

    if number == errno.ENOMEM:
        return MemoryError()
    if name is None:
        return OSError(number, os.strerror(number))
    return OSError(number, os.strerror(number), name)
