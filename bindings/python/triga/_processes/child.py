"""What a Popen of every start method does with its child: waiting, asking and signalling through the core's pidfd."""

from __future__ import annotations

import os
from multiprocessing import util

from triga._core import ChildProcess

_own_pidfd: tuple[int, int] = (0, -1)


def own_pidfd() -> int:
    """A descriptor that is readable once this process has ended: its children's parent sentinel.

    The standard library hands each child the reading end of a pipe for that. One pidfd serves them all, and is not
    kept from telling the truth by a sibling that inherited the pipe's other end.
    """
    global _own_pidfd
    pid, descriptor = _own_pidfd
    if pid != os.getpid():
        # What is there after a fork is the parent's pidfd, and may be our own parent sentinel: it stays open.
        descriptor = os.pidfd_open(os.getpid())
        _own_pidfd = (os.getpid(), descriptor)
    return descriptor


class ChildPopen:
    """Waits for, asks and signals one child. Comes before the standard library's Popen in a class's bases.

    Where the standard library's own _launch ran (see launcher.why_not_here), all of it is left to that Popen.
    """

    pid: int
    returncode: int | None
    sentinel: int
    finalizer: util.Finalize | None
    _child: ChildProcess | None = None

    def _adopt(self, child: ChildProcess) -> None:
        self._child = child
        self.pid = child.pid
        self.sentinel = child.fileno()
        self.finalizer = util.Finalize(self, child.close)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The returncode, or None while the child runs; with another flag than WNOHANG, waits for the end."""
        if self._child is None:
            code: int | None = super().poll(flag)  # type: ignore[misc]
            return code
        if self.returncode is None:
            self.returncode = self._child.poll() if flag & os.WNOHANG else self._child.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """The returncode, or None if the child still ran after ``timeout`` seconds."""
        if self._child is None:
            code: int | None = super().wait(timeout)  # type: ignore[misc]
            return code
        if self.returncode is None:
            self.returncode = self._child.wait(timeout)
        return self.returncode

    def _send_signal(self, sig: int) -> None:
        if self._child is None:
            super()._send_signal(sig)  # type: ignore[misc]
        elif self.returncode is None:
            self._child.send_signal(sig)


def native_bases(stock: type) -> tuple[type, ...]:
    """The bases of a native Popen on top of STOCK, which may derive from popen_fork's native one already."""
    return (stock,) if issubclass(stock, ChildPopen) else (ChildPopen, stock)
