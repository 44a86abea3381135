"""The native stream transport: what of it runs seldom, and how a loop makes one.

What runs for every message is C++ (``bindings/types/stream_transport*``, ``runtime/net/stream``).
"""

from __future__ import annotations

import socket
import sys
import warnings
from asyncio import constants, futures, protocols, selector_events, sslproto, transports, trsock
from typing import TYPE_CHECKING, Any

from triga import _core

_ATTACHES_ITSELF = sys.version_info >= (3, 13)  # Server._attach() and _detach() take the transport since 3.13

_FlowControlMixin: Any = transports._FlowControlMixin
_sslproto: Any = sslproto  # its class is looked up at each use: the native one stands there when it is installed
_set_result: Any = futures._set_result_unless_cancelled  # type: ignore[attr-defined]


class _StreamTransportBase(_FlowControlMixin, transports.Transport):  # type: ignore[misc]  # private to asyncio: Any
    """The seldom-run half of the native transport; asyncio's names, texts and order of events."""

    __slots__ = ()
    if TYPE_CHECKING:  # what the native type adds
        _server: Any
        _empty_waiter: Any

    max_size = 256 * 1024
    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    def __init__(
        self,
        loop: Any,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Any = None,
    ) -> None:
        self._open(loop, sock, extra, server, context)
        self.set_protocol(protocol)
        if server is not None:
            server._attach(*(self,) * _ATTACHES_ITSELF)
        options = {} if context is None else {"context": context}
        loop.call_soon(protocol.connection_made, self, **options)
        # Reading starts, and the waiter wakes, only when connection_made() has been called.
        loop.call_soon(self._add_reader, **options)
        if waiter is not None:
            loop.call_soon(_set_result, waiter, None, **options)

    def __repr__(self) -> str:
        info = [self.__class__.__name__]
        if self._sock is None:
            info.append("closed")
        elif self._closing:
            info.append("closing")
        info.append(f"fd={self._sock_fd}")
        if self._loop is not None and not self._loop.is_closed():
            info.append("read=polling" if self._polls_reading else "read=idle")
            state = "polling" if self._polls_writing else "idle"
            info.append(f"write=<{state}, bufsize={self.get_write_buffer_size()}>")
        return f"<{' '.join(info)}>"

    def _warn_if_unclosed(self, _warn: Any = warnings.warn) -> None:
        """When it is collected, with its socket."""
        _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
        self._sock.close()
        if _ATTACHES_ITSELF and self._server is not None:
            self._server._detach(self)

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        if isinstance(exc, OSError):
            if self._loop.get_debug():
                selector_events.logger.debug("%r: %s", self, message, exc_info=exc)  # type: ignore[attr-defined]
        else:
            self._report(self._loop, exc, message)
        self._force_close(exc)

    def _report(self, loop: Any, exc: BaseException, message: str | None = None) -> None:
        """Tells the loop's exception handler."""
        context = {
            "message": message or f"Exception in callback {self.__class__.__name__}._read_ready()",
            "exception": exc,
            "transport": self,
            "protocol": self._protocol,
        }
        loop.call_exception_handler(context)

    def _debug(self, message: str) -> None:
        selector_events.logger.debug(message, self)  # type: ignore[attr-defined]

    def _warn_of_lost_writes(self) -> None:
        selector_events.logger.warning("socket.send() raised exception.")  # type: ignore[attr-defined]

    def _release(self) -> None:
        """After connection_lost(): the server and whoever waits for the buffer to empty learn of the end."""
        if self._server is not None:
            self._server._detach(*(self,) * _ATTACHES_ITSELF)
            self._server = None
        if self._empty_waiter is not None and not self._empty_waiter.done():
            self._empty_waiter.set_exception(ConnectionError("Connection is closed by peer"))

    def _make_empty_waiter(self) -> Any:
        if self._empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self._empty_waiter = self._loop.create_future()
        if not self.get_write_buffer_size():
            self._empty_waiter.set_result(None)
        return self._empty_waiter

    def _reset_empty_waiter(self) -> None:
        self._empty_waiter = None


StreamTransport: Any = _core.make_stream_transport_type(
    _StreamTransportBase, protocols.BufferedProtocol, trsock.TransportSocket
)


class _DatagramTransportBase(selector_events._SelectorDatagramTransport):  # type: ignore[name-defined,misc]  # private: Any
    """asyncio's datagram transport, with an attribute that it has from 3.12 on."""

    _paused = False


DatagramTransport: Any = _core.make_datagram_transport_type(_DatagramTransportBase)


_CALLED_BY_TRANSPORTS = ("recv", "recv_into", "send", "sendmsg")


def _must_be_called(sock: Any) -> bool:
    """Whether asyncio's transport has to serve SOCK, as it calls the socket's methods.

    They are a stand-in's, as tests have, which has nothing that the kernel could watch, or a subclass's own.
    """
    kind = type(sock)
    if kind is socket.socket:
        return False
    if not isinstance(sock.fileno(), int):
        return True
    return any(getattr(kind, name, None) is not getattr(socket.socket, name) for name in _CALLED_BY_TRANSPORTS)


class StreamTransports:
    """A base of the native loop: its sockets get native transports."""

    _other_transports: dict[int, Any]  # by descriptor, weak references to what is not native; perhaps dead

    def _make_socket_transport(
        self,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Any = None,
    ) -> Any:
        if _must_be_called(sock):
            self._ensure_fd_no_transport(sock)  # type: ignore[attr-defined]  # BaseSelectorEventLoop's
            options = {} if context is None else {"context": context}
            make: Any = super()._make_socket_transport  # type: ignore[misc]  # BaseSelectorEventLoop's
            return make(sock, protocol, waiter, extra=extra, server=server, **options)
        self._make_way_for(sock)
        return StreamTransport(self, sock, protocol, waiter, extra, server, context)

    def _make_way_for(self: Any, sock: Any) -> None:
        """A native transport takes SOCK over. RuntimeError: another one has its descriptor."""
        number = sock.fileno()
        if self._find_transport(number) is not None or number in self._other_transports:
            self._ensure_fd_no_transport(sock)
        self._forget_socket(number)

    def _make_ssl_transport(
        self,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
        context: Any = None,
    ) -> Any:
        """As asyncio's, which puts TLS on its own socket transport by name."""
        self._ensure_fd_no_transport(rawsock)  # type: ignore[attr-defined]  # BaseSelectorEventLoop's
        ssl_protocol = _sslproto.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._make_socket_transport(rawsock, ssl_protocol, extra=extra, server=server, context=context)
        return ssl_protocol._app_transport

    def _make_datagram_transport(
        self, sock: Any, protocol: Any, address: Any = None, waiter: Any = None, extra: dict[str, Any] | None = None
    ) -> Any:
        if (
            type(sock) is not socket.socket
        ):  # one whose methods may be overridden: they are called, by asyncio's transport
            make: Any = super()._make_datagram_transport  # type: ignore[misc]  # BaseSelectorEventLoop's
            return make(sock, protocol, address, waiter, extra)
        self._ensure_fd_no_transport(sock)  # type: ignore[attr-defined]  # BaseSelectorEventLoop's
        self._forget_socket(sock.fileno())  # type: ignore[attr-defined]  # LoopBase's
        return DatagramTransport(self, sock, protocol, address, waiter, extra)
