"""The zygote of this process for the spawn method: started with the first one, replaced when it cannot serve any more.

A zygote cannot serve when it was killed, and when this process has changed in a way that exec would pass on and that
cannot be given to a clone: another user or session, limits, namespaces, interpreter options, or variables that an
interpreter or the dynamic linker reads at its start.
"""

from __future__ import annotations

import os
import socket
import threading
from multiprocessing import util
from typing import TYPE_CHECKING, Any

from triga._core import ChildProcess, ProcessTraits, environment
from triga._processes.launcher import boot
from triga._processes.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_AT_START = (b"PYTHON", b"LC_", b"LANG", b"LD_", b"MALLOC_", b"GLIBC_", b"TZ=", b"TRIGA", b"HOME=", b"OPENSSL")


class SpawnZygote:
    """Lock: _lock guards every attribute; it is held over one start."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._drop)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._process: ChildProcess | None = None
        self._reserve: Reserve | None = None
        self._key: Any = None
        self._environment = b""

    def _drop(self) -> None:
        """In a forked child: the zygote is the parent's, whose ends of its sockets must not live on here."""
        if self._reserve is not None:
            self._reserve.leave()
        self._forget()

    def waiting(self) -> list[int]:
        """The pids of the clones that are kept ready."""
        with self._lock:
            return [] if self._reserve is None else self._reserve.pids()

    @property
    def pid(self) -> int | None:
        """The zygote's pid, or None while there is none."""
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        """Ends the zygote and waits for its end; the next start gets another one."""
        with self._lock:
            self._stop_locked()

    def _stop_locked(self) -> None:
        if self._process is not None:
            self._process.send_signal(9)  # it holds nothing that would have to be cleaned up
            self._process.wait()
            self._process.close()
            self._process = None
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    def _ensure_locked(self, traits: ProcessTraits, variables: bytes) -> Reserve:
        from triga._install import installed_parts, preloaded_modules

        at_start = tuple(each for each in variables.split(b"\0") if each.startswith(_READ_AT_START))
        flags = tuple(util._args_from_interpreter_flags())  # type: ignore[attr-defined]
        key = (traits.fixed, at_start, flags, installed_parts(), tuple(preloaded_modules()))
        if self._process is not None and (self._key != key or self._process.poll() is not None):
            self._stop_locked()
        if self._process is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                self._process = boot("spawn", {}, [theirs.fileno()])
                self._reserve = Reserve(ours.detach())
            self._key, self._environment = key, variables
        assert self._reserve is not None
        return self._reserve

    def start(self, descriptors: list[int], targets: list[int], tell: Callable[[bool], None]) -> ChildProcess:
        """A process that has DESCRIPTORS under the numbers TARGETS and inherits what an exec would pass on.

        All but the environment, that is: TELL is called before the start with whether it has to be given the present
        one.
        """
        variables = environment()
        with self._lock:
            for attempt in (1, 2):
                reserve = self._ensure_locked(traits := ProcessTraits(), variables)
                try:
                    if attempt == 1:
                        tell(variables != self._environment)
                    return reserve.start(traits, descriptors, targets)
                except ConnectionError:
                    # It was killed just now.
                    self._stop_locked()
                    if attempt == 2:
                        raise
                except BaseException:
                    # An answer may be on its way, which the next request must not take for its own.
                    self._stop_locked()
                    raise
        raise AssertionError("not reached")


zygote = SpawnZygote()
