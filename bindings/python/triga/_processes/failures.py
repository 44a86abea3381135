"""The exceptions of a Pool's tasks that came to no answer."""

from __future__ import annotations

from concurrent.futures import CancelledError

from triga._processes.errors import PoolEndedError, describe_task, lost, timed_out, unsendable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from triga._processes.crew import Crew


def failure(crew: Crew, word: str, value: Any, function: Any) -> BaseException:
    """The exception for what the core says of a call of ``function``, which neither returned nor raised."""
    task = describe_task(function)
    if word == "lost":
        return lost(value, crew.exit_of(value[0]) if value[2] is None else None, task)
    if word == "timed_out":
        return timed_out(value, task)
    if word == "unsendable":
        return unsendable(value, task)
    if crew.broken is not None:
        return crew.broken
    if crew.running:
        return CancelledError(f"{task} was cancelled")
    return PoolEndedError(f"the pool was terminated before {task} had ended")
