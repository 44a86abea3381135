"""What a worker process needs to find its pool: five descriptors, inherited or sent along when it is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import context, reduction

from triga import _core
from triga._processes.pickling import make_pickler, make_pickler_by_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Descriptors = tuple[int, int, int, int, int]


# As the _DupFd of these modules, of which a worker needs nothing else, and its zygote would import all.
_INHERITED, _FROM_FORKSERVER = "multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver"


def _sent(descriptor: int) -> Any:
    """What stands for a descriptor in the pickle of a process that is being started, or for anybody else."""
    popen: Any = context.get_spawning_popen()
    kind = getattr(getattr(popen, "DupFd", None), "__module__", None)
    if kind not in (_INHERITED, _FROM_FORKSERVER):
        return reduction.DupFd(descriptor)
    return kind, popen.duplicate_for_child(descriptor)


def _detached(sent: Any) -> int:
    if not isinstance(sent, tuple):
        descriptor: int = sent.detach()
        return descriptor
    kind: str
    number: int
    kind, number = sent
    if kind == _INHERITED:
        return number
    from multiprocessing import forkserver

    inherited = forkserver.get_inherited_fds()
    assert inherited is not None  # in what a forkserver started
    return inherited[number]


def _received(by_value: bool, *sent: Any) -> Link:
    memory, bell, leader, collector, parent = map(_detached, sent)
    return Link((memory, bell, leader, collector, parent), None, by_value)


class Link:
    """The descriptors of a worker's channel: memory, its bell, the parent's two bells, the parent itself.

    A forked child inherits the object and the numbers, which belong to the parent's pool, so it makes its own of them.
    Any other child gets the object pickled, with descriptors that multiprocessing sends along.
    """

    def __init__(self, descriptors: Descriptors, core: _core.ProcessPool | None, by_value: bool) -> None:
        self._descriptors = descriptors
        self._core = core
        self._by_value = by_value

    @property
    def make_pickler(self) -> Callable[[Any], Any]:
        """What makes the pickler of the worker's answers."""
        return make_pickler_by_value if self._by_value else make_pickler

    def open(self) -> Descriptors:
        """The descriptors, to be owned by the caller, in the worker's process."""
        if self._core is None:
            return self._descriptors
        memory, bell, leader, collector, parent = self._descriptors
        mine = (os.dup(memory), os.dup(bell), os.dup(leader), os.dup(collector), os.dup(parent))
        # This process has a copy of the parent's pool, with every other worker's descriptors.
        self._core.forget_in_child()
        os.close(parent)
        self._core = None
        return mine

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self._by_value, *map(_sent, self._descriptors))
