"""What a task took. Imported for a task that was measured only, as typing is dear to import."""

from __future__ import annotations

from typing import NamedTuple


class TaskMetadata(NamedTuple):
    """What a task took, measured in its worker process.

    Attributes:
        cpu_time: CPU time in seconds, of all of the process's threads while the task ran.
        wall_time: elapsed time in seconds.
        peak_memory: the worker's largest resident size while the task ran, in bytes.
    """

    cpu_time: float
    wall_time: float
    peak_memory: int
