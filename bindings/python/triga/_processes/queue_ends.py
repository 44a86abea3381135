"""The ``_reader`` and ``_writer`` of a queue: connections, as the standard library has them, over the queue itself.

Their descriptors are a pipe's. It carries no message: it is readable if the queue holds one, from the first time that
somebody asks for the descriptor, and it tells when nobody has the other end any more.
"""

from __future__ import annotations

import io
import os
from multiprocessing import connection

from triga import _core
from triga._processes.pickling import make_pickler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _End(connection.Connection):
    _port: _core.SimpleProcessQueue
    _side: _core.QueueSide

    def number(self) -> int | None:
        """The descriptor, without asking to be told through it; None once closed."""
        return self._handle  # type: ignore[attr-defined, no-any-return]

    def __reduce__(self) -> Any:
        raise TypeError("an end of a queue cannot be sent; send the queue")


class Reader(_End):
    """The end that receives."""

    def fileno(self) -> int:
        self._check_closed()  # type: ignore[attr-defined]
        self._side.watch()
        return super().fileno()

    def close(self) -> None:
        self._side.forget_reader()
        super().close()

    def recv(self) -> Any:
        self._check_closed()  # type: ignore[attr-defined]
        return self._port.get()

    def _recv_bytes(self, maxsize: int | None = None) -> io.BytesIO | None:
        from multiprocessing.reduction import ForkingPickler

        data = _core.take_pickle(self._port, ForkingPickler.dumps)
        if maxsize is not None and len(data) > maxsize:
            return None
        received = io.BytesIO()
        received.write(data)
        return received

    def _poll(self, timeout: float | None) -> bool:
        return self._side.poll(timeout)


class Writer(_End):
    """The end that sends."""

    def close(self) -> None:
        self._side.forget_writer()
        super().close()

    def send(self, obj: Any) -> None:
        self._check_closed()  # type: ignore[attr-defined]
        self._port.put(obj)

    def _send_bytes(self, buf: Any) -> None:
        _core.put_pickle(self._port, bytes(buf))


def make_ends(side: _core.QueueSide, pipe: tuple[int, int] | None) -> tuple[Reader, Writer]:
    """The two ends of a new queue, or of one that came with the descriptors ``pipe`` (-1: closed)."""
    reader_number, writer_number = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if pipe is None else pipe
    port = _core.SimpleProcessQueue()
    _core.open_queue(port, side, make_pickler, None, None)
    side.use_pipe(reader_number, writer_number)
    reader, writer = Reader.__new__(Reader), Writer.__new__(Writer)
    for end, number in ((reader, reader_number), (writer, writer_number)):
        # Not by __init__, which takes no closed end.
        end.__dict__.update(_handle=number if number >= 0 else None, _readable=end is reader, _writable=end is writer)
        end._port, end._side = port, side
    return reader, writer
