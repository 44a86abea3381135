"""What can be asked of a pool's tasks beyond the standard library: time limits, retries, measurements."""

from __future__ import annotations

from typing import NamedTuple

from triga import _core


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


class Terms(NamedTuple):
    """The terms of a task.

    Attributes:
        timeout: seconds that it may run before its worker is killed; 0.0: any time.
        retries: how often it may be begun again after the death of the worker that ran it.
        measure: whether its result has a :class:`TaskMetadata`.
    """

    timeout: float = 0.0
    retries: int = 0
    measure: bool = False

    def core(self, tag: int) -> _core.TaskTerms:
        """For the core, with the tag of what the task is."""
        return _core.TaskTerms(tag, self.retries, self.timeout, self.measure)


PLAIN = Terms()


def terms_of(timeout: float | None, retries: int | None, measure: bool | None, defaults: Terms = PLAIN) -> Terms:
    """Checked terms; what is None is as in ``defaults``.

    Raises:
        TypeError: for what is no number.
        ValueError: for a timeout that is not positive or more than a century, or retries that are negative or more
            than 65535.
    """
    if timeout is not None and not 0 < timeout < 3e9:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    if retries is not None:
        if not isinstance(retries, int):
            raise TypeError(f"retries must be an integer, not {type(retries).__name__}")
        if not 0 <= retries <= 0xFFFF:
            raise ValueError(f"retries must be between 0 and 65535, not {retries}")
    return Terms(
        defaults.timeout if timeout is None else float(timeout),
        defaults.retries if retries is None else retries,
        defaults.measure if measure is None else bool(measure),
    )
