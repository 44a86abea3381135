"""The native pipe transports: what of them runs seldom, and how a loop makes them."""

from __future__ import annotations

from asyncio import unix_events
from typing import Any

from triga import _core

_unix_events: Any = unix_events


class _WritePipeTransportBase(_unix_events._UnixWritePipeTransport):  # type: ignore[misc]  # private to asyncio: Any
    """asyncio's transport, with what the native write() needs of Python."""

    def _queue_rest(self, rest: bytes) -> None:
        """Keeps what the pipe had no room for, as asyncio's write() does."""
        self._loop._add_writer(self._fileno, self._write_ready)
        self._buffer += rest
        self._maybe_pause_protocol()


ReadPipeTransport: Any = _core.make_read_pipe_transport_type(_unix_events._UnixReadPipeTransport)
WritePipeTransport: Any = _core.make_write_pipe_transport_type(_WritePipeTransportBase)


class PipeTransports:
    """A base of the native loop: its pipes, those of subprocesses too, get native transports."""

    def _make_read_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return WritePipeTransport(self, pipe, protocol, waiter, extra)
