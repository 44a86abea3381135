"""asyncio's streams with what runs for every message in C++ (``bindings/types/stream_*``).

The classes derive from a native half and from asyncio's own class: what is rare (``repr``, ``start_tls``, warnings,
what happens once a connection) is the code of the running version, on fields that live in the native half.
"""

from __future__ import annotations

from asyncio import exceptions, streams
from typing import TYPE_CHECKING, Any

from triga import _core

if TYPE_CHECKING:
    from types import ModuleType

    from triga._patch import Replace

StockReader: Any = streams.StreamReader
StockWriter: Any = streams.StreamWriter
StockProtocol: Any = streams.StreamReaderProtocol


class StreamReader(_core.StreamReaderBase, StockReader):  # type: ignore[misc]  # the last base: Any
    __doc__ = StockReader.__doc__

    read = _core.FunctionLike(_core.StreamReaderBase.read, StockReader.read)
    readline = _core.FunctionLike(_core.StreamReaderBase.readline, StockReader.readline)
    readuntil = _core.FunctionLike(_core.StreamReaderBase.readuntil, StockReader.readuntil)
    readexactly = _core.FunctionLike(_core.StreamReaderBase.readexactly, StockReader.readexactly)


class StreamWriter(_core.StreamWriterBase, StockWriter):  # type: ignore[misc]  # the last base: Any
    __doc__ = StockWriter.__doc__

    drain = _core.FunctionLike(_core.StreamWriterBase.drain, StockWriter.drain)
    wait_closed = _core.FunctionLike(_core.StreamWriterBase.wait_closed, StockWriter.wait_closed)


class StreamReaderProtocol(_core.StreamProtocolBase, StockProtocol):  # type: ignore[misc]  # the last base: Any
    __doc__ = StockProtocol.__doc__


NATIVE: dict[str, Any] = {
    "StreamReader": StreamReader,
    "StreamWriter": StreamWriter,
    "StreamReaderProtocol": StreamReaderProtocol,
}

for _name, _class in NATIVE.items():
    _class.__module__ = streams.__name__
    _class.__name__ = _class.__qualname__ = _name

_core.bind_streams(
    reader=StreamReader,
    writer=StreamWriter,
    protocol=StreamReaderProtocol,
    stock_reader=StockReader,
    stock_writer=StockWriter,
    incomplete_read_error=exceptions.IncompleteReadError,
    limit_overrun_error=exceptions.LimitOverrunError,
    default_limit=streams._DEFAULT_LIMIT,  # type: ignore[attr-defined]  # private to asyncio
    asserts=__debug__,
)


def patch(module: ModuleType, replace: Replace) -> None:
    """asyncio.streams: its classes, which open_connection() and the others look up there."""
    if module is not streams:
        return  # a copy that a test made beside the real one; the native classes are bound to the real one's
    for name, native in NATIVE.items():
        replace(module, name, native)


def patch_package(module: ModuleType, replace: Replace) -> None:
    """asyncio: the names that it took from asyncio.streams when it was imported."""
    for name, native in NATIVE.items():
        setattr(module, name, native.__mro__[2])  # asyncio's own: what uninstall() is to put back
        replace(module, name, native)
