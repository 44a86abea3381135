"""asyncio's TLS with what runs for every message in C++ (``bindings/types/ssl_*``).

The class derives from a native half and from asyncio's own SSLProtocol: handshake, shutdown, their timeouts, errors and
extra information are the code of the running version, on fields that live in the native half. OpenSSL is driven through
the objects that ``SSLContext.wrap_bio()`` makes, so every setting of the program's context holds.
"""

from __future__ import annotations

from asyncio import sslproto
from typing import TYPE_CHECKING, Any

from triga import _core

if TYPE_CHECKING:
    from types import ModuleType

    from triga._patch import Replace

ssl: Any = sslproto.ssl  # type: ignore[attr-defined]  # None in a Python without OpenSSL
StockProtocol: Any = sslproto.SSLProtocol
StockTransport: Any = sslproto._SSLProtocolTransport


class SSLProtocol(_core.TlsProtocolBase, StockProtocol):  # type: ignore[misc]  # the last base: Any
    __doc__ = StockProtocol.__doc__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # asyncio makes memory of this size to receive into, here and, should it be needed, in get_buffer(). Native
        # transports receive into memory that all connections share, so none is made before.
        self.max_size = 0
        try:
            super().__init__(*args, **kwargs)
        finally:
            del self.max_size


class SSLProtocolTransport(_core.TlsTransportBase, StockTransport):  # type: ignore[misc]  # the last base: Any
    __doc__ = StockTransport.__doc__


NATIVE: dict[str, Any] = {"SSLProtocol": SSLProtocol, "_SSLProtocolTransport": SSLProtocolTransport}

for _name, _class in NATIVE.items():
    _class.__module__ = sslproto.__name__
    _class.__name__ = _class.__qualname__ = _name

if ssl is not None:
    _core.bind_tls(
        protocol=SSLProtocol,
        stock_protocol=StockProtocol,
        ssl_object=ssl.SSLObject,
        memory_bio=ssl.MemoryBIO,
        inner_object=ssl._ssl._SSLSocket,
        again_errors=sslproto.SSLAgainErrors,
        in_handshake=sslproto.SSLProtocolState.DO_HANDSHAKE,
        wrapped=sslproto.SSLProtocolState.WRAPPED,
        flushing=sslproto.SSLProtocolState.FLUSHING,
        shutting_down=sslproto.SSLProtocolState.SHUTDOWN,
    )


def patch(module: ModuleType, replace: Replace) -> None:
    """asyncio.sslproto: the names that loops make TLS connections by."""
    if module is not sslproto or ssl is None:
        return
    for name, native in NATIVE.items():
        replace(module, name, native)
