"""What runs in the process that is the program's resource tracker: the standard library's program, in a clone."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import sys
from multiprocessing import resource_tracker

from triga._core import clone_as_sibling
from triga._processes.leave import Inherited, leave

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# What the resource tracker ignores from its start.
IGNORED = (_signal.SIGINT, _signal.SIGTERM)


def track(descriptor: int) -> int:
    """Runs the tracker's program. Returns its exit code."""
    try:
        resource_tracker.main(descriptor)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def become_tracker(reader: int, told: int, others: Iterable[int]) -> None:
    """Makes a copy of this zygote that tracks what READER brings, and writes its pid to TOLD, or nothing if it cannot.

    OTHERS are descriptors that are no business of the copy's.
    """
    # Neither collects the other's garbage from now on, which would copy every page that they share.
    gc.freeze()
    # The tracker's program unblocks them, once it ignores them.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, IGNORED)
    try:
        pid = clone_as_sibling()
    except OSError:
        pid = None  # the program will start one in another way
    if pid == 0:
        for descriptor in (told, *others):
            os.close(descriptor)
        modules = frozenset(sys.modules)
        leave(track(reader), Inherited(modules, modules, None))
    _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
    if pid is not None:
        os.write(told, pid.to_bytes(4, "little"))
    os.close(told)
    os.close(reader)
