"""A worker process's memory limit."""

from __future__ import annotations

import resource


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
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
