"""What a worker process needs to find its pool: five descriptors, inherited or sent along when it is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import reduction

from triga import _core
from triga._processes.pickling import make_pickler, make_pickler_by_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Descriptors = tuple[int, int, int, int, int]


def _received(by_value: bool, memory: Any, bell: Any, leader: Any, collector: Any, parent: Any) -> Link:
    descriptors = (memory.detach(), bell.detach(), leader.detach(), collector.detach(), parent.detach())
    return Link(descriptors, None, by_value)


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
        return _received, (self._by_value, *(reduction.DupFd(descriptor) for descriptor in self._descriptors))
