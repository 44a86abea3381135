"""How a server of the native loop takes its connections: natively, a batch for each report, without a task for each."""

from __future__ import annotations

import socket
import sys
import weakref
from typing import Any

from triga import _core
from triga._loop.transports import StreamTransports

_OUR_WAY = StreamTransports._make_socket_transport  # unless a subclass has another
_TAKES_CONTEXT = sys.version_info >= (3, 15)  # a server has a context of its own, as has each of its connections


class Accepting:
    """A base of the native loop: ``_accept_connection()``, the reader that asyncio gives to a server's sockets."""

    def _start_serving(
        self: Any,
        protocol_factory: Any,
        sock: Any,
        sslcontext: Any = None,
        server: Any = None,
        *rest: Any,
        **named: Any,
    ) -> None:
        # From 3.13 on asyncio's Server has its connections in a WeakSet, and they are many.
        if type(getattr(server, "_clients", None)) is weakref.WeakSet:
            server._clients = _core.ServerClients(server._clients)
        stock: Any = super()._start_serving  # type: ignore[misc]  # BaseSelectorEventLoop's
        stock(protocol_factory, sock, sslcontext, server, *rest, **named)

    def _accept_connection(
        self: Any,
        protocol_factory: Any,
        sock: Any,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        *rest: Any,
    ) -> None:
        # With TLS a connection is made by a task that waits for the handshake; debug mode has reports: asyncio's own,
        # as for a class that makes transports its own way.
        native = (
            sslcontext is None
            and type(sock) is socket.socket
            and not self._debug
            and getattr(self._make_socket_transport, "__func__", None) is _OUR_WAY
            and self._queues_natively()
        )
        if native:
            context = rest[-1] if _TAKES_CONTEXT and len(rest) == 3 else None
            backlog = self._serve_waiting(protocol_factory, sock, server, backlog, context)
        if backlog:
            stock: Any = super()._accept_connection  # type: ignore[misc]  # BaseSelectorEventLoop's
            stock(protocol_factory, sock, sslcontext, server, backlog, *rest)
