"""The zygote of this process for the spawn method: started with the first one, replaced when it cannot serve any more.

A zygote cannot serve when it was killed, and when this process has changed in a way that exec would pass on and that
cannot be given to a clone: another user or session, limits, namespaces, interpreter options, or variables that an
interpreter or the dynamic linker reads at its start.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import util
from socket import SOCK_SEQPACKET

from triga._core import ProcessTraits, environment, socket_pair
from triga._processes.launcher import boot
from triga._processes.preload import standard_modules
from triga._processes.reserve import Reserve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from triga._core import ChildProcess

_READ_AT_START = (b"PYTHON", b"LC_", b"LANG", b"LD_", b"MALLOC_", b"GLIBC_", b"TZ=", b"TRIGA", b"HOME=", b"OPENSSL")


class _Running:
    """A zygote, what it has made ahead, and what it was started with. Of no use any more once it is `ending`."""

    def __init__(self, key: Any, variables: bytes, also: tuple[str, ...]) -> None:
        ours, theirs = socket_pair(SOCK_SEQPACKET)
        self.reserve = Reserve(ours)
        with theirs:
            # Whatever interrupts this: a zygote whose socket nobody holds any more ends.
            try:
                self.process = boot("spawn", {"modules": [*standard_modules(), *also]}, [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        self.key = key
        self.environment = variables
        self.ending = False

    def end(self) -> None:
        """Kills the zygote and waits for its end; to be called again if it was interrupted."""
        self.ending = True
        self.process.send_signal(9)  # it holds nothing that would have to be cleaned up
        self.process.wait()
        self.reserve.close()
        self.process.close()


class SpawnZygote:
    """Lock: _lock guards every attribute; it is held over one start."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._drop)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def _drop(self) -> None:
        """In a forked child: the zygote is the parent's, whose ends of its sockets must not live on here."""
        if self._running is not None:
            self._running.reserve.leave()
        self._forget()

    def waiting(self) -> list[int]:
        """The pids of the clones that are kept ready."""
        with self._lock:
            return [] if self._running is None else self._running.reserve.pids()

    @property
    def pid(self) -> int | None:
        """The zygote's pid, or None while there is none."""
        running = self._running
        return None if running is None else running.process.pid

    def stop(self) -> None:
        """Ends the zygote and waits for its end; the next start gets another one."""
        with self._lock:
            self._stop_locked()

    def _stop_locked(self) -> None:
        if self._running is not None:
            self._running.end()
            self._running = None

    def _ensure_locked(self, traits: ProcessTraits, variables: bytes, also: tuple[str, ...] = ()) -> _Running:
        from triga._install import installed_parts, preloaded_modules

        at_start = tuple(each for each in variables.split(b"\0") if each.startswith(_READ_AT_START))
        flags = tuple(util._args_from_interpreter_flags())  # type: ignore[attr-defined]
        key = (traits.fixed, at_start, flags, installed_parts(), tuple(preloaded_modules()))
        running = self._running
        if running is not None and (running.ending or running.key != key or running.process.poll() is not None):
            self._stop_locked()
        if self._running is None:
            self._running = _Running(key, variables, also)
        return self._running

    def prepare(self, also: tuple[str, ...]) -> None:
        """Boots the zygote if there is none, and orders its first clones, without waiting for any of it.

        For who is about to start a process and has something to do before. ALSO are modules that the clones will
        need and this process may not have. Where it fails, start() will say so.
        """
        with self._lock:
            if self._running is not None:
                return
            try:
                self._ensure_locked(ProcessTraits(), environment(), also).reserve.refill()
            except OSError:
                return
            except BaseException:
                self._stop_locked()
                raise

    def start(self, descriptors: list[int], targets: list[int], tell: Callable[[bool], None]) -> ChildProcess:
        """A process that has DESCRIPTORS under the numbers TARGETS and inherits what an exec would pass on.

        All but the environment, that is: TELL is called before the start with whether it has to be given the present
        one.
        """
        variables = environment()
        with self._lock:
            for attempt in (1, 2):
                running = self._ensure_locked(traits := ProcessTraits(), variables)
                try:
                    if attempt == 1:
                        tell(variables != running.environment)
                    return running.reserve.start(traits, descriptors, targets)
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
