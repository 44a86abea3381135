"""A file of text: a decoder and an encoder over a file of bytes."""

from __future__ import annotations

import codecs
import io
import locale
import os
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any

from triga.aio._binary import CHUNK, BinaryFile, File


def _default_encoding() -> str:
    return "utf-8" if sys.flags.utf8_mode else locale.getencoding()


class TextFile(File):
    """A file of text: the coroutines of a text file of Python's."""

    def __init__(
        self, binary: BinaryFile, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> None:
        self.encoding = _default_encoding() if encoding in (None, "locale") else str(encoding)
        self.errors = errors or "strict"
        decoder = codecs.getincrementaldecoder(self.encoding)(self.errors)
        self._decoder: Any = io.IncrementalNewlineDecoder(decoder, newline is None) if not newline else decoder
        self._encoder: Any = codecs.getincrementalencoder(self.encoding)(self.errors)
        super().__init__(binary._descriptor, binary.name, binary.mode, reads=binary._reads, writes=binary._writes)
        self._newline = newline
        self._bytes = binary
        self._text = ""  # decoded, and used up to _used
        self._used = 0
        self._skip = 0  # characters that the next ones decoded begin with, and that were used before a seek()
        # Where the bytes of _text begin, the decoder's state there, and the bytes: for tell().
        self._origin: tuple[int, Any, bytes] | None = None
        if binary._position > 0:
            self._encoder.setstate(0)  # no byte order mark in the middle of a file

    @property
    def newlines(self) -> Any:
        """The ends of lines that were met, as Python's own files have it."""
        return getattr(self._decoder, "newlines", None)

    def seekable(self) -> bool:
        """Whether it has a position."""
        return self._bytes.seekable()

    # ---- reading; the lock is held

    async def _fill(self, size: int = CHUNK) -> bool:
        """Decodes more, behind what is not used yet. False at the end of the file."""
        rest = self._text[self._used :]
        position, state = self._bytes._position, self._decoder.getstate()
        data = await self._bytes.read1(size)
        more = self._decoder.decode(data, final=not data)
        if rest and self._origin is not None:
            start, first, before = self._origin
            self._origin = (start, first, before + data)
            self._text += more
        else:
            self._origin = (position, state, data)
            self._text, self._used = rest + more, 0
        self._skip_used()
        return bool(data)

    def _skip_used(self) -> None:
        skipped = min(self._skip, len(self._text) - self._used)
        self._skip -= skipped
        self._used += skipped

    def _take(self, count: int) -> str:
        taken = self._text[self._used : self._used + count]
        self._used += len(taken)
        if self._used == len(self._text):
            self._text, self._used, self._origin = "", 0, None
        return taken

    def _line_end(self, start: int) -> int:
        """Behind the end of the line that begins at _used, looking from start; -1 if there is none yet."""
        text = self._text
        if self._newline == "":
            found = [at for at in (text.find("\n", start), text.find("\r", start)) if at >= 0]
            if not found:
                return -1
            at = min(found)
            if text[at] == "\n" or (at + 1 < len(text) and text[at + 1] != "\n"):
                return at + 1
            return at + 2 if at + 1 < len(text) else -1
        end = self._newline or "\n"
        at = text.find(end, start)
        return at + len(end) if at >= 0 else -1

    async def _read_line(self, size: int) -> str:
        looked = self._used
        while True:
            end = self._line_end(looked)
            if end >= 0 or 0 <= size <= len(self._text) - self._used:
                break
            # The last character may be the first of an end of two.
            looked_from_used = max(len(self._text) - self._used - 1, 0)
            if not await self._fill():
                break
            looked = self._used + looked_from_used
        length = (end if end >= 0 else len(self._text)) - self._used
        return self._take(length if size < 0 else min(length, size))

    # ---- public

    async def read(self, size: int | None = -1) -> str:
        """``size`` characters, fewer at the end of the file; without a size, all that is left."""
        self._check(reads=True)
        async with self._lock:
            if size is None or size < 0:
                data = await self._bytes.read()
                self._text += self._decoder.decode(data, final=True)
                self._skip_used()
                return self._take(len(self._text))
            while len(self._text) - self._used < size and await self._fill():
                pass
            return self._take(size)

    async def readline(self, size: int | None = -1) -> str:
        """A line with its end, or what is left of the file."""
        self._check(reads=True)
        async with self._lock:
            return await self._read_line(-1 if size is None else size)

    async def readlines(self, hint: int | None = -1) -> list[str]:
        """The lines that are left; about ``hint`` characters of them if that is positive."""
        lines: list[str] = []
        total = 0
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def write(self, text: str) -> int:
        """Writes the text; its length in characters."""
        self._check(writes=True)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        async with self._lock:
            if self._text and self.seekable():
                self._go_to(self._tell())
            given = text.replace("\n", self._newline) if self._newline in ("\r", "\r\n") else text
            await self._bytes.write(self._encoder.encode(given))
            self._decoder.reset()
            return len(text)

    async def writelines(self, lines: Iterable[str]) -> None:
        """Writes each of the lines, which bring their own ends."""
        await self.write("".join(lines))

    # ---- position: as Python's own text files, a number for seek() and nothing else

    def _tell(self) -> int:
        if self._origin is None:
            cookie: int = self._bytes._position | self._decoder.getstate()[1] << 64 | self._skip << 192
            return cookie
        start, state, data = self._origin
        at_end = self._decoder.getstate()
        # The last place before what is used where the decoder holds no part of a character.
        self._decoder.setstate(state)
        count, position, flags, skip = 0, start, state[1], self._used
        for at, byte in enumerate(data, 1):
            count += len(self._decoder.decode(bytes((byte,))))
            held, now = self._decoder.getstate()
            if not held and count <= self._used:
                position, flags, skip = start + at, now, self._used - count
            if count > self._used:
                break
        self._decoder.setstate(at_end)
        cookie = position | flags << 64 | skip << 192
        return cookie

    def _go_to(self, cookie: int) -> None:
        position, flags = cookie & (1 << 64) - 1, cookie >> 64 & (1 << 64) - 1
        self._skip = cookie >> 192
        self._bytes._move_to(position)
        self._text, self._used, self._origin = "", 0, None
        if cookie == 0:
            self._decoder.reset()
            self._encoder.reset()
        else:
            self._decoder.setstate((b"", flags))
            self._encoder.setstate(0)

    async def tell(self) -> int:
        """Where the file is: for seek()."""
        self._check()
        await self._bytes.tell()
        return self._tell()

    async def seek(self, cookie: int, whence: int = os.SEEK_SET) -> int:
        """Goes to the beginning, to what tell() said, or with whence 2 to the end; the new position."""
        self._check()
        await self._bytes.tell()
        if whence == os.SEEK_CUR and cookie == 0:
            return self._tell()
        if whence == os.SEEK_END and cookie == 0:
            cookie = await self._descriptor.size()
        elif whence != os.SEEK_SET:
            raise io.UnsupportedOperation("can't do nonzero cur-relative or end-relative seeks")
        if cookie < 0:
            raise ValueError(f"negative seek position {cookie}")
        async with self._lock:
            self._go_to(cookie)
        return cookie

    async def truncate(self, size: int | None = None) -> int:
        """Makes the file ``size`` bytes large, or as large as its position says; the position stays."""
        self._check(writes=True)
        wanted = await self.tell() & (1 << 64) - 1 if size is None else size
        return await self._bytes.truncate(wanted)

    def __del__(self) -> None:
        """Nothing: the file of bytes warns."""
