"""What the tests of a loop's parts share: running a test's body on the loop of the moment, and sockets for it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def pair(family: int = socket.AF_UNIX, kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(family, kind)
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


async def waits(loop: Any) -> None:
    """Lets every task run until it waits, and the loop poll once more after that."""
    for _ in range(4):
        await asyncio.sleep(0)


async def finish(awaitable: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaitable, 30)


def run(main: Callable[[Any], Awaitable[Any]], debug: bool = False) -> Any:
    async def body() -> Any:
        return await finish(main(asyncio.get_running_loop()))

    return asyncio.run(body(), debug=debug)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def run_turns(loop: Any, count: int = 1) -> None:
    """Runs ``count`` turns."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


def python(program: str, *arguments: str, timeout: float = 30, **environment: str) -> tuple[int, str, str]:
    """Runs PROGRAM under triga's loop: exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, *arguments, "-c", program],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "TRIGA": "loop", **environment},
    )
    return done.returncode, done.stdout, done.stderr
