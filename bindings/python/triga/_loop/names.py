"""Name resolution: what is written in numbers is read on the spot, names go to the executor as in asyncio."""

from __future__ import annotations

import contextlib
import socket
from typing import Any


def _is_numeric(host: Any) -> bool:
    """Is it an address that the C library reads without asking anybody? An IPv6 zone ("%lo") may follow it."""
    if not isinstance(host, str):
        return False
    for family, text in ((socket.AF_INET, host), (socket.AF_INET6, host.partition("%")[0])):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, text)
            return True
    return False


class NameResolution:
    """A base of the native loop: ``getaddrinfo()``."""

    async def getaddrinfo(
        self: Any, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        """:func:`socket.getaddrinfo`, in a thread if there is a name to resolve."""
        # The name of a service would be looked up in a file.
        if self._debug or not _is_numeric(host) or not (port is None or isinstance(port, int)):
            found = await super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)  # type: ignore[misc]
            return found
        return socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
