"""The resource tracker as a clone of the spawn method's zygote, in the place of one more interpreter's start.

It is the standard library's program, and a real child as there; what differs is what its process was copied from. One
that runs already stays.
"""

from __future__ import annotations

import os
import pickle
import select
from multiprocessing import resource_tracker

from triga._processes.child import own_pidfd
from triga._processes.preparation_pipe import ANY, PreparationPipe, open_standard_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from triga._processes.spawn_zygote import SpawnZygote


def _start(zygote: SpawnZygote, reader: int) -> int:
    streams = open_standard_streams()
    pipe = PreparationPipe()

    def tell(changed: bool) -> None:
        variables = dict(os.environb) if changed else None
        head = pickle.dumps({"environment": variables, "streams": streams, "tracker": None})
        pipe.write(len(head).to_bytes(8, "little"), head)

    try:
        child = zygote.start([pipe.reader, own_pidfd(), reader, *streams], [ANY, ANY, ANY, *streams], tell)
    except BaseException:
        pipe.give_up()
        raise
    pipe.finish()
    return child.pid


def _has_reader(descriptor: int) -> bool:
    """Whether anybody reads the pipe whose writing end DESCRIPTOR is. The kernel tells it without waking them."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return not poll.poll(0)


def _running() -> int | None:
    tracker: Any = resource_tracker._resource_tracker
    descriptor: int | None = tracker._fd
    return descriptor if descriptor is not None and _has_reader(descriptor) else None


def tracker_runs() -> bool:
    """Whether there is a resource tracker. The standard library finds out by a message, which wakes it."""
    return _running() is not None


def tracker_known() -> bool:
    """Whether this process has, or has had, a resource tracker."""
    tracker: Any = resource_tracker._resource_tracker
    return tracker._fd is not None


def tracker_descriptor() -> int:
    """The descriptor at which the resource tracker listens, which is started if there is none."""
    running = _running()
    started: Any = resource_tracker.getfd() if running is None else running
    descriptor: int = started
    return descriptor


def start_tracker(zygote: SpawnZygote) -> None:
    """Starts the resource tracker, unless there is one or the zygote has modules of the user's."""
    from triga._install import preloaded_modules

    tracker: Any = resource_tracker._resource_tracker
    if tracker._fd is not None or preloaded_modules():
        return
    reader, writer = os.pipe()
    try:
        pid = _start(zygote, reader)
        # Not held over the start: a finalizer that runs meanwhile may want it, in this thread.
        with tracker._lock:
            if tracker._fd is None:
                tracker._pid = pid
                tracker._fd = writer  # last: it says that there is one
    finally:
        os.close(reader)
        if tracker._fd != writer:
            os.close(writer)  # at which ours ends, if there is one
    if tracker._fd != writer:
        os.waitpid(pid, 0)  # another thread was first
