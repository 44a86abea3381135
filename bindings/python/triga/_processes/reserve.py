"""Clones that a zygote has made ahead: a start hands one its work, and orders the next.

A clone in reserve has run nothing but what every clone runs before its work. It waits at a socket of its own, whose
other end is here, and ends when that is closed or this process ends.

A KeyboardInterrupt may come between any two steps. Descriptors are kept as objects, so that one which nothing refers to
any more is closed, and none is closed twice.
"""

from __future__ import annotations

import select
from collections import deque
from socket import SOCK_SEQPACKET

from triga._core import socket_pair, zygote_answer, zygote_order, zygote_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from triga._core import ChildProcess, Descriptor, ProcessTraits

# With one, a start right after another would wait for the zygote's copying.
_KEPT = 2
_KILL = 9


class Reserve:
    """The clones behind one control socket of a zygote, which it owns. The caller's lock guards all of it."""

    def __init__(self, control: Descriptor) -> None:
        self._control = control
        self._ready: deque[tuple[ChildProcess, Descriptor]] = deque()
        # Our ends of the sockets of clones that the zygote has yet to answer for.
        self._ordered: deque[Descriptor] = deque()

    def __len__(self) -> int:
        return len(self._ready) + len(self._ordered)

    def pids(self) -> list[int]:
        """The pids of the clones that wait, as far as the zygote's answers have been read."""
        return [child.pid for child, _ in self._ready]

    def _order(self) -> None:
        ours, theirs = socket_pair(SOCK_SEQPACKET)
        with theirs:
            try:
                zygote_order(self._control.fileno(), theirs.fileno())
            except OSError:
                ours.close()
                raise
        self._ordered.append(ours)

    def _collect(self) -> None:
        """Waits for the zygote's next answer; raises the zygote's error if it could not make a clone."""
        try:
            self._ready.append((zygote_answer(self._control.fileno()), self._ordered[0]))
        except OSError:
            self._ordered.popleft().close()
            raise
        self._ordered.popleft()

    def refill(self) -> None:
        """Orders as many clones as are missing, without waiting for them."""
        try:
            while len(self) < _KEPT:
                self._order()
        except OSError:
            return  # no descriptor is free, or the zygote is gone: the next start that needs one will say so

    def start(self, traits: ProcessTraits | None, descriptors: list[int], targets: list[int]) -> ChildProcess:
        """A clone that was started with DESCRIPTORS under TARGETS."""
        while True:
            if not self._ready:
                if not self._ordered:
                    self._order()
                self._collect()
            child, command = self._ready.popleft()
            try:
                if child.poll() is not None:
                    continue  # somebody killed it while it waited
                zygote_start(command.fileno(), traits, descriptors, targets)
            except (BrokenPipeError, ConnectionResetError):
                _end(child)  # or just now
                continue
            except BaseException:
                _end(child)
                raise
            finally:
                command.close()
            self.refill()
            return child

    def close(self) -> None:
        """Ends the clones that wait, and the connection. One that the zygote is still making ends by itself."""
        # The control socket is closed already where leave() was interrupted.
        while self._ordered and self._control.fileno() >= 0 and _is_readable(self._control):
            try:
                self._collect()
            except OSError:
                continue  # a refusal, or the zygote is gone
        children = [child for child, _ in self._ready]
        self.leave()
        for child in children:
            _end(child)

    def leave(self) -> None:
        """Closes the descriptors: all that a fork of the process that the clones belong to has to do."""
        for each in (self._control, *self._ordered, *(command for _, command in self._ready)):
            each.close()
        self._ordered.clear()
        self._ready.clear()


def _is_readable(control: Descriptor) -> bool:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    return bool(poll.poll(0))


def _end(child: ChildProcess) -> None:
    child.send_signal(_KILL)
    child.wait()
    child.close()
