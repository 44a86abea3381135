"""The native pipe transports: what of them runs seldom, and how a loop makes them."""

from __future__ import annotations

import os
from asyncio import unix_events
from typing import Any

from triga import _core

_unix_events: Any = unix_events


class _WritePipeTransportBase(_unix_events._UnixWritePipeTransport):  # type: ignore[misc]  # private to asyncio: Any
    """asyncio's transport, with what the native methods need of Python: each is a part of asyncio's _write_ready()."""

    def __init__(self, loop: Any, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> None:
        super().__init__(loop, pipe, protocol, waiter, extra)
        self._buffer = self._make_queue()  # in place of the bytearray

    def _watch_writable(self) -> None:
        self._loop._add_writer(self._fileno, self._write_ready)

    def _unwatch_writable(self) -> None:
        self._loop._remove_writer(self._fileno)

    def _end(self) -> None:
        self._loop._remove_reader(self._fileno)
        self._call_connection_lost(None)

    def _write_failed(self, number: int) -> None:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as exc:
            self._buffer.clear()
            self._conn_lost += 1
            self._loop._remove_writer(self._fileno)
            self._fatal_error(exc, "Fatal write error on pipe transport")


ReadPipeTransport: Any = _core.make_read_pipe_transport_type(_unix_events._UnixReadPipeTransport)
WritePipeTransport: Any = _core.make_write_pipe_transport_type(_WritePipeTransportBase)


class PipeTransports:
    """A base of the native loop: its pipes, those of subprocesses too, get native transports."""

    def _make_read_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return WritePipeTransport(self, pipe, protocol, waiter, extra)
