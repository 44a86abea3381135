"""The resource tracker as a copy of the forkserver that is booting, in the program's hands.

The forkserver copies itself once it has the standard library's modules, before anything of the user's is there
(tracker_clone.py). Whoever boots it goes on meanwhile; the first start needs the tracker, and waits for its pid.
"""

from __future__ import annotations

import os
from contextlib import suppress
from multiprocessing import resource_tracker
from socket import SOCK_SEQPACKET

from triga._core import pipe, socket_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PID_BYTES = 4


class AwaitedTracker:
    """A tracker that a forkserver is to become. The forkserver's lock guards it.

    Descriptors are objects, so that an interrupt anywhere leaves none open: the tracker ends with its pipe's writer.
    """

    def __init__(self) -> None:
        self._reader, self._writer = pipe()
        self._told, self._tells = socket_pair(SOCK_SEQPACKET)
        self._pid: int | None = None

    def descriptors(self) -> list[int]:
        """What the forkserver is given: the end at which its copy will read, and where to tell that copy's pid."""
        return [self._reader.fileno(), self._tells.fileno()]

    def booted(self) -> None:
        """Closes what only the forkserver is to hold."""
        self._reader.close()
        self._tells.close()

    def _await_pid(self) -> None:
        """Waits until the forkserver has told it; it tells none where it could not copy itself or has ended."""
        if self._pid is None and self._told.fileno() >= 0:
            told = os.read(self._told.fileno(), _PID_BYTES)
            self._pid = int.from_bytes(told, "little") if told else None
            self._told.close()

    def adopt(self) -> None:
        """Makes it the program's tracker, unless there is one by now. Without either, the next start starts one."""
        self._await_pid()
        tracker: Any = resource_tracker._resource_tracker
        # Not held over the wait: a finalizer that runs meanwhile may want it, in this thread.
        with tracker._lock:
            if tracker._fd is None and self._pid is not None:
                tracker._pid, self._pid = self._pid, None
                tracker._fd = self._writer.release()  # last: it says that there is one
        self.drop()

    def drop(self) -> None:
        """Ends it if it is not the program's tracker, and waits for its end."""
        self._writer.close()
        self._await_pid()
        if self._pid is not None:
            with suppress(ChildProcessError):  # somebody else has heard of it
                os.waitpid(self._pid, 0)
            self._pid = None

    def leave(self) -> None:
        """Closes the descriptors: all that a fork of the program has to do."""
        self._writer.close()
        self._told.close()
