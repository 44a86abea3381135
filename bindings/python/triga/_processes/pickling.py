"""How tasks and results are pickled.

By multiprocessing's own pickler, so that registered reducers count. A task that it cannot pickle (a lambda, a closure)
goes to cloudpickle's, if that is installed.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any, ClassVar

_MISSING = (
    "cloudpickle is not installed; with it, lambdas, closures and functions that workers cannot import can be tasks:"
    " pip install cloudpickle"
)


def make_pickler(sink: Any) -> Any:
    """A pickler that writes to the sink; large buffers (NumPy arrays) travel beside the pickle, copied once.

    ``reduction.ForkingPickler`` is looked up now: a program may have replaced it.
    """
    return reduction.ForkingPickler(sink, 5, True, sink.buffer)


def make_other_pickler(error: BaseException) -> Callable[[Any], Any] | None:
    """What makes cloudpickle's picklers, for a task that ``make_pickler``'s could not pickle because of ``error``.

    None for an error that cloudpickle is no help with; and, with a note on the error, where it is not installed.
    """
    if not _is_about_names(error):
        return None
    try:
        import cloudpickle
    except ImportError:
        error.add_note(_MISSING)
        return None

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """With the reducers of multiprocessing: its queues and locks may be arguments of a lambda, too."""

        dispatch_table: ClassVar[Any] = ChainMap(
            reduction.ForkingPickler._extra_reducers,  # type: ignore[attr-defined]
            cloudpickle.Pickler.dispatch_table,
        )

    return lambda sink: Pickler(sink, 5, sink.buffer)


# What pickle says, in the words of its versions, when it would have had to send something by a name.
_ABOUT_NAMES = ("attribute lookup", "local object", "not the same object", "not found as", "'module' object")


def _is_about_names(error: BaseException) -> bool:
    text = str(error)
    return any(words in text for words in _ABOUT_NAMES)
