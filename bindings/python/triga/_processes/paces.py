"""How long the items of a map take, and so how many go into one task."""

from __future__ import annotations

from triga import _core

# Sending a task and its answer takes 4 us or so, 2% of this.
_LEAST_TIME = 200e-6
_MOST_FUNCTIONS = 64
_CHUNKS_A_WORKER = 4  # the standard library's number: no chunk is larger than its chunks


class Paces:
    """What a pool has learned of the functions that it has mapped."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}  # an item takes at most, by the function's name

    def note(self, function: str, items: int, workers: int, seconds: float) -> None:
        """The function was mapped over so many items in that time."""
        if not items:
            return
        if function not in self._seconds and len(self._seconds) == _MOST_FUNCTIONS:
            self._seconds.clear()
        # Waiting for others' tasks is in it. That makes chunks smaller than they could be, never larger.
        self._seconds[function] = seconds * max(workers, 1) / items

    def plan(self, function: str, items: int, workers: int) -> _core.ChunkPlan:
        """Chunks for items of the function: from as large as the standard library's down to what takes 200 us."""
        share = workers * _CHUNKS_A_WORKER
        most = max(-(-items // share), 1)
        pace = self._seconds.get(function, _LEAST_TIME)
        least = most if pace * most <= _LEAST_TIME else int(_LEAST_TIME / pace)
        return _core.ChunkPlan(most, max(least, 1), share)
