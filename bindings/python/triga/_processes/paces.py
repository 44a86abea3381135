"""How long the items of a map take, and so how many go into one task."""

from __future__ import annotations

from functools import partial

from triga import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A task of its own costs an item some microseconds (docs/process_pool.md, Pool.map(chunksize=1)): little beside this.
_LEAST_TIME = 200e-6
_MOST_FUNCTIONS = 64
_CHUNKS_A_WORKER = 4  # the standard library's number: no chunk is larger than its chunks


def _name(function: Any) -> tuple[str, str]:
    """By what a function is known from one map to the next. Never its repr: a partial's has all of its arguments."""
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(getattr(named, "__module__", "")), str(named.__qualname__)


class Paces:
    """What a pool has learned of the functions that it has mapped."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], float] = {}  # an item takes at most

    def note(self, function: Any, items: int, workers: int, seconds: float) -> None:
        """The function was mapped over so many items in that time."""
        if not items:
            return
        name = _name(function)
        if name not in self._seconds and len(self._seconds) == _MOST_FUNCTIONS:
            self._seconds.clear()
        # Waiting for others' tasks is in it. That makes chunks smaller than they could be, never larger.
        self._seconds[name] = seconds * max(workers, 1) / items

    def plan(self, function: Any, items: int, workers: int) -> _core.ChunkPlan:
        """Chunks for items of the function: from as large as the standard library's down to what takes 200 us."""
        share = workers * _CHUNKS_A_WORKER
        most = max(-(-items // share), 1)
        pace = self._seconds.get(_name(function), _LEAST_TIME)
        least = most if pace * most <= _LEAST_TIME else int(_LEAST_TIME / pace)
        return _core.ChunkPlan(most, max(least, 1), share)
