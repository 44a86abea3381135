"""Whole files at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any, overload

from triga.aio._queue import Descriptor

Progress = Callable[[int, int], object]
_STEP = 1 << 20  # bytes between two calls of a progress hook


@overload
async def read_file(
    path: Any, *, encoding: None = None, errors: str = ..., progress: Progress | None = ...
) -> bytes: ...
@overload
async def read_file(path: Any, *, encoding: str, errors: str = ..., progress: Progress | None = ...) -> str: ...
async def read_file(
    path: Any, *, encoding: str | None = None, errors: str = "strict", progress: Progress | None = None
) -> bytes | str:
    """What a file holds.

    Args:
        path: of the file.
        encoding: gives text, with the ends of lines as they are; None gives bytes.
        errors: how bytes that cannot be decoded are handled.
        progress: ``progress(done, total)``, in bytes, is called after each MiB and at the end; what it raises ends the
            read.

    Raises:
        OSError: it cannot be opened or read.
        RuntimeError: no event loop of triga's runs here.
    """
    descriptor = await Descriptor.open(path, os.O_RDONLY)
    try:
        data = await _rest(descriptor, progress)
    finally:
        await descriptor.close()
    return data if encoding is None else data.decode(encoding, errors)


async def _rest(descriptor: Descriptor, progress: Progress | None) -> bytes:
    total = await descriptor.size()
    pieces: list[bytes] = []
    done = 0
    while True:
        left = max(total - done, 0) + 1  # one more than there is: so the end shows
        wanted = max(left, 1 << 16) if progress is None or left <= _STEP else _STEP
        piece = await descriptor.read(wanted, done if total else -1)
        pieces.append(piece)
        done += len(piece)
        if progress is not None:
            progress(done, max(total, done))
        if not piece or (total and done >= total and len(piece) < wanted):
            return piece if len(pieces) == 1 else b"".join(pieces)


async def write_file(
    path: Any, data: Any, *, encoding: str = "utf-8", append: bool = False, progress: Progress | None = None
) -> int:
    """Makes a file hold ``data``, or appends it.

    Args:
        path: of the file.
        data: a bytes-like object, or text.
        encoding: of text.
        append: behind what the file holds, in place of it.
        progress: ``progress(done, total)``, in bytes, is called after each MiB and at the end.

    Returns:
        The number of bytes written.

    Raises:
        OSError: it cannot be opened or written.
        RuntimeError: no event loop of triga's runs here.
    """
    view = memoryview(data.encode(encoding) if isinstance(data, str) else data).cast("B")
    kind = os.O_APPEND if append else os.O_TRUNC
    descriptor = await Descriptor.open(path, os.O_WRONLY | os.O_CREAT | kind)
    try:
        step = _STEP if progress is not None else max(len(view), 1)
        for start in range(0, len(view), step):
            piece = view[start : start + step]
            await descriptor.write(piece, -1)
            if progress is not None:
                progress(start + len(piece), len(view))
    finally:
        await descriptor.close()
    return len(view)


async def read_files(paths: Iterable[Any], *, encoding: str | None = None, at_once: int = 64) -> list[Any]:
    """What each of the files holds, in order; ``at_once`` of them are read at a time.

    Raises what :func:`read_file` raises for the first that fails; the others are cancelled then.
    """
    if at_once < 1:
        raise ValueError("at_once must be at least 1")
    gate = asyncio.Semaphore(at_once)

    async def one(path: Any) -> Any:
        async with gate:
            return await read_file(path, encoding=encoding) if encoding is not None else await read_file(path)

    tasks = [asyncio.ensure_future(one(path)) for path in paths]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
