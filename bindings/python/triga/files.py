"""Many files at once, read and hashed by the C++ core on several threads, none of which takes the GIL.

Each function takes ``workers`` (threads in all, the calling one among them; None: as many as the process may use
processors), ``return_exceptions`` (an item's OSError stands in its place in the result; else the first one is raised
when all are done), ``progress`` (a line on the error stream, if that is a terminal) and ``cancel`` (a
:class:`triga.Cancellation`; the call raises CancelledError). Ctrl-C ends a call within a moment.
"""

from __future__ import annotations

from triga import _core
from triga._native.batches import hash_library, list_of_paths, os_error, outcomes
from triga._native.loops import Cancellation, check_workers, run_loop, ticker

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

__all__ = ["hash_files", "read_files"]


def read_files(
    paths: Iterable[str | bytes | os.PathLike[Any]],
    *,
    workers: int | None = None,
    return_exceptions: bool = False,
    progress: bool = False,
    cancel: Cancellation | None = None,
) -> list[Any]:
    """The bytes of each file, in the order of the paths.

    Room for all of them is made before the first is read. Raises OSError with the file's name.
    """
    given, names = list_of_paths(paths)
    threads = min(check_workers(workers), max(len(names), 1))
    sizes = _core.FileSizes(names)
    run_loop(sizes, threads, None, cancel)
    reading = _core.FileReading(sizes)
    run_loop(reading, threads, ticker(progress, "files read", len(names)), cancel)
    return outcomes(
        reading.results(), reading.errors(), lambda at, error: os_error(int(error), given[at]), return_exceptions
    )


def hash_files(
    paths: Iterable[str | bytes | os.PathLike[Any]],
    algorithm: str = "sha256",
    *,
    workers: int | None = None,
    return_exceptions: bool = False,
    progress: bool = False,
    cancel: Cancellation | None = None,
) -> list[Any]:
    """The digest of each file as bytes, in the order of the paths; ``algorithm`` is a name that hashlib knows.

    Raises OSError with the file's name, and ValueError for an algorithm that the system's OpenSSL has not.
    """
    given, names = list_of_paths(paths)
    threads = min(check_workers(workers), max(len(names), 1))
    hashing = _core.FileHashing(names, algorithm, hash_library())
    run_loop(hashing, threads, ticker(progress, "files hashed", len(names)), cancel)
    return outcomes(
        hashing.results(), hashing.errors(), lambda at, error: os_error(int(error), given[at]), return_exceptions
    )
