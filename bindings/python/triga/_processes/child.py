"""What a Popen of every start method does with its child: waiting, asking and signalling through the core's pidfd."""

from __future__ import annotations

import os
import signal
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
    """Waits for, asks and signals one child. Comes before the standard library's Popen in a class's bases."""

    pid: int
    returncode: int | None
    sentinel: int
    finalizer: util.Finalize | None
    _child: ChildProcess

    def _adopt(self, pid: int) -> None:
        try:
            self._child = ChildProcess(pid)
        except OSError:
            # No descriptor was free: nobody could ever wait for this process.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self.pid = pid
        self.sentinel = self._child.fileno()
        self.finalizer = util.Finalize(self, self._child.close)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The returncode, or None while the child runs; with another flag than WNOHANG, waits for the end."""
        if self.returncode is None:
            self.returncode = self._child.poll() if flag & os.WNOHANG else self._child.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """The returncode, or None if the child still ran after ``timeout`` seconds."""
        if self.returncode is None:
            self.returncode = self._child.wait(timeout)
        return self.returncode

    def _send_signal(self, sig: int) -> None:
        if self.returncode is None:
            self._child.send_signal(sig)
