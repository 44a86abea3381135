"""Many buffers at once, hashed, compressed and decompressed by the C++ core on several threads without the GIL.

A buffer is any object with the buffer protocol whose memory is C-contiguous (bytes, bytearray, memoryview, mmap, an
array); it stays exported until the call is over. ``workers``, ``return_exceptions``, ``progress`` and ``cancel`` are as
in :mod:`triga.files`; what is being compressed when a call is cancelled is finished first.
"""

from __future__ import annotations

import sys

from triga import _core
from triga._native.batches import hash_library, os_error, outcomes
from triga._native.loops import Cancellation, check_workers, run_loop, ticker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["ZstdError", "compress_buffers", "decompress_buffers", "hash_buffers"]


def _zstd_error() -> type[Exception]:
    if sys.version_info >= (3, 14):
        try:
            from compression.zstd import ZstdError as standard

            return standard
        except ImportError:  # a Python that was built without it
            pass

    class ZstdError(Exception):
        """What is no zstd frame, or cannot become one. From 3.14 on it is compression.zstd's."""

    return ZstdError


ZstdError = _zstd_error()


def hash_buffers(
    buffers: Iterable[Any],
    algorithm: str = "sha256",
    *,
    workers: int | None = None,
    progress: bool = False,
    cancel: Cancellation | None = None,
) -> list[bytes]:
    """The digest of each buffer, in order; ``algorithm`` is a name that hashlib knows.

    Raises TypeError and BufferError for what is no such buffer, ValueError for an algorithm that OpenSSL has not.
    """
    items = list(buffers)
    threads = min(check_workers(workers), max(len(items), 1))
    hashing = _core.BufferHashing(items, algorithm, hash_library())
    run_loop(hashing, threads, ticker(progress, "buffers hashed", len(items)), cancel)
    return outcomes(hashing.results(), hashing.errors(), lambda at, error: os_error(int(error)), False)


def compress_buffers(
    buffers: Iterable[Any],
    algorithm: str = "zlib",
    level: int | None = None,
    *,
    workers: int | None = None,
    return_exceptions: bool = False,
    progress: bool = False,
    cancel: Cancellation | None = None,
) -> list[Any]:
    """Each buffer compressed: what ``zlib.compress()`` makes, or with ``algorithm="zstd"`` a zstd frame.

    ``level`` is the library's (zlib: 0 to 9, zstd: up to 22); None: its own choice. Raises OSError that names the
    package where the system has no such library.
    """
    items = list(buffers)
    coding = _core.BufferCoding.compressing(items, algorithm, level)
    return _code(coding, len(items), algorithm, "buffers compressed", workers, return_exceptions, progress, cancel)


def decompress_buffers(
    buffers: Iterable[Any],
    algorithm: str = "zlib",
    *,
    max_size: int | None = None,
    workers: int | None = None,
    return_exceptions: bool = False,
    progress: bool = False,
    cancel: Cancellation | None = None,
) -> list[Any]:
    """Each buffer decompressed; ``"zlib"`` takes gzip's format, too. At most ``max_size`` bytes an item, if given.

    Raises zlib.error or :class:`ZstdError` for what is incomplete, spoilt, larger, or goes on behind its end.
    """
    items = list(buffers)
    coding = _core.BufferCoding.decompressing(items, algorithm, max_size)
    return _code(coding, len(items), algorithm, "buffers decompressed", workers, return_exceptions, progress, cancel)


def _code(
    coding: _core.BufferCoding,
    count: int,
    algorithm: str,
    what: str,
    workers: int | None,
    return_exceptions: bool,
    progress: bool,
    cancel: Cancellation | None,
) -> list[Any]:
    threads = min(check_workers(workers), max(count, 1))
    run_loop(coding, threads, ticker(progress, what, count), cancel)
    coding.release_buffers()
    copying = _core.OutputCopying(coding)
    run_loop(copying, threads, None, cancel)

    def error_of(at: int, error: int | str) -> BaseException:
        if isinstance(error, int):
            return os_error(error)
        message = f"buffers[{at}]: {error}"
        if algorithm == "zstd":
            return ZstdError(message)
        import zlib

        return zlib.error(message)

    return outcomes(copying.results(), coding.errors(), error_of, return_exceptions)
