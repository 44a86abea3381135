"""How a server of the native loop takes its connections: natively, a batch for each report, without a task for each."""

from __future__ import annotations

import contextvars
import socket
import sys
import weakref
from typing import Any

from triga import _core
from triga._loop.transports import StreamTransport, StreamTransports

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
        # With TLS a connection is made by a task that waits for the handshake; debug mode has reports: asyncio's own.
        native = sslcontext is None and type(sock) is socket.socket and not self._debug
        context = rest[-1] if _TAKES_CONTEXT and len(rest) == 3 else None
        accept = self._accept_now  # the report says that somebody waits
        while native and backlog > 0:
            try:
                accepted = accept(sock)
            except ConnectionAbortedError:
                backlog -= 1
                continue
            except OSError:
                native = False  # no descriptors left, for one: asyncio meets it again, and knows whom to tell
            else:
                if accepted is None:
                    return
                accept = self._accept_another
                backlog -= 1
                # Its own context, as that of the task that asyncio would make.
                own = contextvars.copy_context() if context is None else context.copy()
                connection, peer = accepted
                given = None if context is None else own
                own.run(self._serve_connection, protocol_factory, server, connection, peer, given)
        if not native:
            stock: Any = super()._accept_connection  # type: ignore[misc]  # BaseSelectorEventLoop's
            stock(protocol_factory, sock, sslcontext, server, backlog, *rest)

    def _serve_connection(
        self: Any, protocol_factory: Any, server: Any, connection: Any, peer: bytes, context: Any
    ) -> None:
        try:
            protocol = protocol_factory()
            make = self._make_socket_transport
            if getattr(make, "__func__", None) is _OUR_WAY:
                self._make_way_for(connection)
                StreamTransport(self, connection, protocol, None, None, server, context, peer)
            else:
                options = {} if context is None else {"context": context}
                make(connection, protocol, extra={"peername": self._address_of(peer)}, server=server, **options)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            connection.close()  # asyncio tells of it in debug mode only
