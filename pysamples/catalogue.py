"""The samples, and the least that triga's core must have done for each: what its counters have to show at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent

# A column of the closing table: what it is called, and the counters of triga.stats() that add up to it.
COLUMNS: dict[str, tuple[str, ...]] = {
    "threads": ("threads_started", "threads_reused"),
    "tasks": ("tasks_run", "process_tasks_run"),
    "processes": ("processes_spawned", "processes_reused"),
    "messages": ("messages_sent",),
    "loop turns": ("loop_iterations",),
    "timers": ("timers_scheduled",),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """One program, and its least native work by column.

    ``message`` is a pattern for programs whose threads print as they come: print() writes a text and its newline by
    two calls, so under plain Python too messages change places and share lines.
    """

    path: str
    work: Mapping[str, int]
    message: str = ""
    prints_timing: bool = False
    arguments: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The path without its suffix: ``article/thread_pool``."""
        return self.path.removesuffix(".py")

    @property
    def file(self) -> Path:
        """Where the program is."""
        return HERE / self.path


SAMPLES: tuple[Sample, ...] = (
    Sample("article/thread_function.py", {"threads": 1}),
    Sample("article/thread_subclass.py", {"threads": 1}),
    Sample("article/thread_pool.py", {"threads": 1, "tasks": 5}, message=r"执行任务 \d|任务 \d 结果: \d"),
    Sample("article/process_function.py", {"processes": 1}),
    Sample("article/process_subclass.py", {"processes": 1}),
    Sample("article/process_pool.py", {"processes": 3, "tasks": 1, "messages": 1}),
    Sample("article/async_run.py", {"loop turns": 2, "timers": 1}),
    Sample("article/async_gather.py", {"loop turns": 2, "timers": 2}),
    Sample("article/async_generator.py", {"loop turns": 3, "timers": 3}),
    Sample("crawler.py", {"threads": 2, "tasks": 100, "loop turns": 100, "timers": 100}, prints_timing=True),
    Sample("batch_job.py", {"processes": 2, "tasks": 10, "messages": 10}, prints_timing=True),
)


def add_up(counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The columns' sums over the counters of a program's processes."""
    processes = list(counters)
    return {
        column: sum(process.get(name, 0) for process in processes for name in names)
        for column, names in COLUMNS.items()
    }


def shortfalls(sample: Sample, done: Mapping[str, int]) -> list[str]:
    """Where the core did less than the sample needs, as ``2 of at least 5 tasks``; empty if it did the work."""
    return [
        f"{done[column]} of at least {least} {column}" for column, least in sample.work.items() if done[column] < least
    ]
