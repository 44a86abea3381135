"""The operations themselves: each is a coroutine that waits for the running loop's file queue."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from triga import _core


def file_queue() -> Any:
    """The file queue of the running loop.

    Raises:
        RuntimeError: no loop runs here, or it is not one of triga's.
    """
    loop: Any = asyncio.get_running_loop()
    if not isinstance(loop, _core.LoopBase):
        raise RuntimeError(
            "triga.aio needs an event loop of triga's, and this one is "
            f"{type(loop).__module__}.{type(loop).__qualname__}; "
            "run the program with `python -m triga`, or the coroutine with triga.run()"
        )
    of_triga: Any = loop
    pid, queue = of_triga._file_queue
    if pid != os.getpid():  # not made yet, or by the parent of this process, whose operations are its own
        queue = _core.FileQueue(loop)
        of_triga._file_queue = (os.getpid(), queue)
    return queue


async def outcome(queue: Any, future: Any) -> Any:
    """What the operation behind the future returned. Cancelled, it has the kernel end the operation."""
    try:
        return await future
    except asyncio.CancelledError:
        queue.cancel(future)
        raise


class Descriptor:
    """An open file: operations at given offsets, by whatever loop runs."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    async def open(cls, path: Any, flags: int, mode: int = 0o666) -> Descriptor:
        """A file that is opened by its path, close-on-exec."""
        queue = file_queue()
        return cls(await outcome(queue, queue.open(os.fsencode(path), flags | os.O_CLOEXEC, mode)))

    async def read(self, size: int, offset: int) -> bytes:
        """At most ``size`` bytes; fewer, or none at the end of the file. Offset -1: the descriptor's own position."""
        queue = file_queue()
        data: bytes = await outcome(queue, queue.read(self.fd, size, offset))
        return data

    async def write(self, data: Any, offset: int) -> int:
        """Writes all of ``data``, in as many operations as the kernel wants."""
        queue = file_queue()
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view):
            at = offset + written if offset >= 0 else -1
            written += await outcome(queue, queue.write(self.fd, view[written:], at))
        return written

    async def size(self) -> int:
        """The file's size in bytes."""
        queue = file_queue()
        size: int = await outcome(queue, queue.size(self.fd))
        return size

    async def truncate(self, size: int) -> None:
        """Makes the file as large as that."""
        queue = file_queue()
        await outcome(queue, queue.truncate(self.fd, size))

    async def sync(self) -> None:
        """Waits until all that was written is on the disk."""
        queue = file_queue()
        await outcome(queue, queue.sync(self.fd))

    def release(self) -> int:
        """Gives the descriptor up to the caller."""
        fd, self.fd = self.fd, -1
        return fd

    async def close(self) -> None:
        """Closes it. May be called twice; a cancellation ends the wait and not the closing."""
        if self.fd >= 0:
            await file_queue().close_fd(self.release())

    def close_now(self) -> None:
        """Closes it in this thread."""
        if self.fd >= 0:
            os.close(self.release())
