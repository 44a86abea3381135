"""A worker process's memory limit, and what memory a pool keeps."""

from __future__ import annotations

import os

_KEPT = 256 << 20
_PLACES = 4  # of a worker: two for large tasks, two for large results


def check_memory_limit(limit: int | None) -> None:
    """Raises TypeError or ValueError for what is no limit in bytes."""
    if limit is None:
        return
    if not isinstance(limit, int):
        raise TypeError(f"memory_limit must be an integer or None, not {type(limit).__name__}")
    if limit <= 0:
        raise ValueError(f"memory_limit must be a positive number of bytes, not {limit}")


def limit_memory(limit: int | None) -> None:
    """Has allocations of this process fail when its private memory would grow past ``limit`` bytes.

    RLIMIT_DATA: heap and private writable mappings. RLIMIT_AS would count every mapped library and the pool's shared
    memory as well.
    """
    if limit is None:
        return
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def kept_memory(workers: int) -> int:
    """Of how many bytes a place for large tasks or results keeps the pages, to be used again.

    All places of a pool of so many workers keep 256 MiB, or ``TRIGA_POOL_MEMORY`` bytes.
    """
    text = os.environ.get("TRIGA_POOL_MEMORY", "")
    try:
        most = int(text) if text else _KEPT
    except ValueError:
        most = -1
    if most < 0:
        raise ValueError(f"TRIGA_POOL_MEMORY={text!r}: a number of bytes that a pool keeps, 0 for none")
    return most // (_PLACES * workers) // 4096 * 4096
