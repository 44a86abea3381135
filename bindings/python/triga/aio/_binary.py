"""A file of bytes."""

from __future__ import annotations

import asyncio
import io
import os
import warnings
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

from triga.aio._queue import Descriptor

CHUNK = 1 << 16  # bytes of one read ahead


class File:
    """What files of bytes and of text have in common."""

    def __init__(self, descriptor: Descriptor, name: Any, mode: str, *, reads: bool, writes: bool) -> None:
        self.name = name
        self.mode = mode
        self._descriptor = descriptor
        self._reads, self._writes = reads, writes
        self._lock = asyncio.Lock()  # one operation of the file's at a time: they share its position

    @property
    def closed(self) -> bool:
        """True once close() was called."""
        return self._descriptor.fd < 0

    def fileno(self) -> int:
        """The descriptor. ValueError if the file is closed."""
        self._check()
        return self._descriptor.fd

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self._reads

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._writes

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self.fileno())

    def _check(self, *, reads: bool = False, writes: bool = False) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if reads and not self._reads:
            raise io.UnsupportedOperation("not readable")
        if writes and not self._writes:
            raise io.UnsupportedOperation("not writable")

    async def flush(self) -> None:
        """Does nothing: a write has reached the kernel when it returns. See sync()."""
        self._check()

    async def sync(self) -> None:
        """Waits until all that was written is on the disk (fsync)."""
        self._check()
        await self._descriptor.sync()

    async def close(self) -> None:
        """Closes the file. May be called twice."""
        async with self._lock:
            await self._descriptor.close()

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None and descriptor.fd >= 0:
            warnings.warn(f"unclosed file {self!r}", ResourceWarning, stacklevel=1, source=self)
            descriptor.close_now()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} name={self.name!r} mode={self.mode!r}>"


class BinaryFile(File):
    """A file of bytes: the methods of a binary file of Python's, as coroutines. It reads ahead, and writes at once."""

    def __init__(
        self, descriptor: Descriptor, name: Any, mode: str, *, reads: bool, writes: bool, appends: bool
    ) -> None:
        super().__init__(descriptor, name, mode, reads=reads, writes=writes)
        self._appends = appends
        self._ahead = memoryview(b"")  # read, and not asked for yet
        try:
            self._position = os.lseek(descriptor.fd, 0, os.SEEK_END if appends else os.SEEK_CUR)
        except OSError:
            self._position = -1  # a pipe, a terminal: it has none

    def seekable(self) -> bool:
        """Whether it has a position."""
        return self._position >= 0

    # ---- reading; the lock is held

    def _take(self, size: int) -> bytes:
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        if self._position >= 0:
            self._position += len(taken)
        return taken.tobytes()

    async def _read_at(self, size: int) -> bytes:
        # Behind what was read ahead.
        offset = self._position + len(self._ahead) if self._position >= 0 else -1
        return await self._descriptor.read(size, offset)

    async def _fill(self, size: int = CHUNK) -> bool:
        """Reads more ahead. False at the end of the file."""
        more = await self._read_at(size)
        self._ahead = memoryview(self._ahead.tobytes() + more if self._ahead else more)
        return bool(more)

    async def _read_all(self) -> bytes:
        position = self._position
        pieces = [self._ahead.tobytes()]
        done = len(self._ahead)
        total = await self._descriptor.size() - position if position >= 0 else 0
        while True:
            wanted = max(total - done + 1, CHUNK)  # one byte more than there is: so the end shows
            piece = await self._descriptor.read(wanted, position + done if position >= 0 else -1)
            pieces.append(piece)
            done += len(piece)
            if not piece or (total > 0 and done >= total and len(piece) < wanted):
                break
        self._ahead = memoryview(b"")
        if position >= 0:
            self._position = position + done
        return pieces[1] if len(pieces) == 2 and not pieces[0] else b"".join(pieces)

    async def _read(self, size: int) -> bytes:
        if size > len(self._ahead) + CHUNK and not self._ahead:
            data = await self._read_at(size)
            if self._position >= 0:
                self._position += len(data)
            if len(data) == size or not data:
                return data
            return data + await self._read(size - len(data))
        while len(self._ahead) < size and await self._fill(max(CHUNK, size - len(self._ahead))):
            pass
        return self._take(size)

    async def _read_line(self, size: int) -> bytes:
        looked = 0
        while True:
            end = self._ahead.tobytes().find(b"\n", looked) if len(self._ahead) > looked else -1
            if end >= 0 or 0 <= size <= len(self._ahead):
                break
            looked = len(self._ahead)
            if not await self._fill():
                break
        length = end + 1 if end >= 0 else len(self._ahead)
        return self._take(length if size < 0 else min(length, size))

    # ---- public

    async def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, fewer at the end of the file; without a size, all that is left."""
        self._check(reads=True)
        async with self._lock:
            return await self._read_all() if size is None or size < 0 else await self._read(size)

    async def read1(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, by at most one operation."""
        self._check(reads=True)
        async with self._lock:
            if not self._ahead:
                await self._fill(size if size > 0 else CHUNK)
            return self._take(size if size >= 0 else len(self._ahead))

    async def readall(self) -> bytes:
        """All that is left."""
        return await self.read()

    async def readinto(self, buffer: Any) -> int:
        """Reads into a writable buffer; how many bytes."""
        view = memoryview(buffer).cast("B")
        data = await self.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def peek(self, size: int = 0) -> bytes:
        """What would be read next, without taking it; at most one operation, so maybe more or less than asked for."""
        self._check(reads=True)
        async with self._lock:
            if not self._ahead:
                await self._fill(max(size, CHUNK))
            return self._ahead.tobytes()

    async def readline(self, size: int | None = -1) -> bytes:
        """A line with its end, or what is left of the file."""
        self._check(reads=True)
        async with self._lock:
            return await self._read_line(-1 if size is None else size)

    async def readlines(self, hint: int | None = -1) -> list[bytes]:
        """The lines that are left; about ``hint`` bytes of them if that is positive."""
        lines: list[bytes] = []
        total = 0
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def write(self, data: Any) -> int:
        """Writes all of ``data``, a bytes-like object; its length in bytes."""
        self._check(writes=True)
        async with self._lock:
            self._ahead = memoryview(b"")
            written = await self._descriptor.write(data, self._position)
            if self._appends and self._position >= 0:
                self._position = await self._descriptor.size()
            elif self._position >= 0:
                self._position += written
            return written

    async def writelines(self, lines: Iterable[Any]) -> None:
        """Writes each of the lines, which bring their own ends."""
        await self.write(b"".join(lines))

    async def tell(self) -> int:
        """The position. OSError if the file has none."""
        self._check()
        if self._position < 0:
            raise io.UnsupportedOperation("underlying stream is not seekable")
        return self._position

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the position, from the beginning, from where it is, or from the end; the new one."""
        await self.tell()
        async with self._lock:
            bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}
            if whence == os.SEEK_END:
                bases[whence] = await self._descriptor.size()
            if whence not in bases:
                raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
            if bases[whence] + offset < 0:
                raise OSError(22, os.strerror(22))
            self._move_to(bases[whence] + offset)
            return self._position

    def _move_to(self, position: int) -> None:
        step = position - self._position
        self._ahead = self._ahead[step:] if 0 <= step <= len(self._ahead) else memoryview(b"")
        self._position = position

    async def truncate(self, size: int | None = None) -> int:
        """Makes the file ``size`` bytes large, or as large as its position says; the position stays."""
        self._check(writes=True)
        wanted = await self.tell() if size is None else size
        async with self._lock:
            self._ahead = memoryview(b"")
            await self._descriptor.truncate(wanted)
        return wanted
