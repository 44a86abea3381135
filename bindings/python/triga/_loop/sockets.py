"""What of the socket operations runs once a connection; the rest is C++ (``bindings/types/socket_operation*``)."""

from __future__ import annotations

import _socket
import errno
import os
import socket
from asyncio import base_events, unix_events
from typing import Any

from triga import _core

_StockEventLoop: Any = unix_events._UnixSelectorEventLoop
_check_ssl_socket: Any = base_events._check_ssl_socket  # type: ignore[attr-defined]

_core.bind_sockets(socket_class=socket.socket, native_socket=_socket.socket, stock_loop=_StockEventLoop)

_GOES_ON = (errno.EINPROGRESS, errno.EAGAIN, errno.EINTR)  # as BlockingIOError and InterruptedError


class SocketOperations:
    """A base of the native loop: ``sock_connect()``."""

    async def sock_connect(self: Any, sock: Any, address: Any) -> None:
        """Connect to a remote socket at address."""
        if type(sock) is not socket.socket:
            await super().sock_connect(sock, address)  # type: ignore[misc]  # asyncio's own, for what overrides methods
            return
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            resolved = await self._ensure_resolved(
                address, family=sock.family, type=sock.type, proto=sock.proto, loop=self
            )
            address = resolved[0][4]
        error = sock.connect_ex(address)
        if error in _GOES_ON:
            await self._sock_wait_writable(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, f"Connect call failed {address}")
        elif error:
            raise OSError(error, os.strerror(error))
