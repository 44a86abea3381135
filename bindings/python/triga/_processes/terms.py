"""What can be asked of a pool's tasks beyond the standard library: time limits, retries, measurements."""

from __future__ import annotations

from triga import _core


class Terms:
    """The terms of a task.

    Attributes:
        timeout: seconds that it may run before its worker is killed; 0.0: any time.
        retries: how often it may be begun again after the death of the worker that ran it.
        measure: whether its result has a :class:`~triga._processes.task_metadata.TaskMetadata`.
    """

    __slots__ = ("measure", "retries", "timeout")

    def __init__(self, timeout: float = 0.0, retries: int = 0, measure: bool = False) -> None:
        self.timeout = timeout
        self.retries = retries
        self.measure = measure

    def are_plain(self) -> bool:
        """Nothing beyond the standard library is asked."""
        return not (self.timeout or self.retries or self.measure)

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
