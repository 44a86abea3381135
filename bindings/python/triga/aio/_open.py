"""open(): what Python's own takes, checked the same way."""

from __future__ import annotations

import io
import os
from collections.abc import Generator
from types import TracebackType
from typing import Any

from triga.aio._binary import BinaryFile
from triga.aio._queue import Descriptor
from triga.aio._text import TextFile

_FLAGS = {"r": 0, "w": os.O_CREAT | os.O_TRUNC, "x": os.O_CREAT | os.O_EXCL, "a": os.O_CREAT | os.O_APPEND}


class _Mode:
    """A mode such as ``"r+b"``, taken apart."""

    def __init__(self, mode: str) -> None:
        kind = "".join(letter for letter in mode if letter in "rwxa")
        if len(kind) != 1 or len(set(mode)) != len(mode) or set(mode) - set("rwxa+bt") or {"b", "t"} <= set(mode):
            raise ValueError(f"invalid mode: {mode!r}")
        self.binary = "b" in mode
        self.reads = kind == "r" or "+" in mode
        self.writes = kind != "r" or "+" in mode
        self.appends = kind == "a"
        access = os.O_RDWR if self.reads and self.writes else os.O_RDONLY if self.reads else os.O_WRONLY
        self.flags = access | _FLAGS[kind]


class _Opening:
    """To be awaited, or entered by ``async with``."""

    def __init__(self, path: Any, mode: str, options: dict[str, Any]) -> None:
        self._path, self._mode, self._options = path, mode, options
        self._parts = _Mode(mode)
        self._file: BinaryFile | TextFile | None = None
        if self._parts.binary and any(value is not None for value in options.values()):
            raise ValueError("binary mode doesn't take an encoding, errors or newline argument")

    async def _open(self) -> BinaryFile | TextFile:
        parts = self._parts
        descriptor = await Descriptor.open(self._path, parts.flags)
        try:
            binary = BinaryFile(
                descriptor, self._path, self._mode, reads=parts.reads, writes=parts.writes, appends=parts.appends
            )
            return binary if parts.binary else TextFile(binary, **self._options)
        except BaseException:
            descriptor.close_now()
            raise

    def __await__(self) -> Generator[Any, None, BinaryFile | TextFile]:
        return self._open().__await__()

    async def __aenter__(self) -> BinaryFile | TextFile:
        self._file = await self._open()
        return self._file

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            await self._file.close()


def open(
    file: str | bytes | os.PathLike[Any],
    mode: str = "r",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Any:
    """A file to be awaited, or entered by ``async with``.

    Args:
        file: the path.
        mode: as Python's own ``open()``: one of ``r w x a``, and ``+``, ``b``, ``t``.
        encoding: of a text file; None is the locale's.
        errors: how text that cannot be decoded or encoded is handled; None is ``"strict"``.
        newline: of a text file, as Python's own: None translates, ``""`` does not, else the end of a line.

    Returns:
        A :class:`BinaryFile` or a :class:`TextFile`.

    Raises:
        ValueError, LookupError: a mode or newline that is none; an unknown encoding.
        OSError: the file cannot be opened.
        RuntimeError: no event loop of triga's runs here.
    """
    if newline not in (None, "", "\n", "\r", "\r\n"):
        raise ValueError(f"illegal newline value: {newline!r}")
    if encoding is None and "b" not in mode:
        io.text_encoding(encoding, 2)  # -X warn_default_encoding
    return _Opening(file, mode, {"encoding": encoding, "errors": errors, "newline": newline})
