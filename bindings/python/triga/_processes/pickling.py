"""How tasks and results are pickled.

By multiprocessing's own pickler, so that registered reducers count. A task that it cannot pickle (a lambda, a closure)
goes to cloudpickle's, if that is installed. So does all where the workers have another ``__main__`` than the program:
``python -c``, a program on standard input and an interactive one cannot be imported, and plain pickle would send names.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable
from multiprocessing import reduction
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    cloud = _cloud_pickler()
    if cloud is None:
        error.add_note(_MISSING)
        return None
    return lambda sink: cloud(sink, 5, sink.buffer)


@functools.cache
def _cloud_pickler() -> Any:
    """Cloudpickle's pickler, or None where it is not installed."""
    try:
        import cloudpickle
    except ImportError:
        return None

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """With the reducers of multiprocessing: its queues and locks may be arguments of a lambda, too."""

        dispatch_table: ClassVar[Any] = ChainMap(
            reduction.ForkingPickler._extra_reducers,  # type: ignore[attr-defined]
            cloudpickle.Pickler.dispatch_table,
        )

    return Pickler


def main_file() -> str | None:
    """The file of ``__main__``; None for ``-c``, a prompt and standard input, which some versions call ``<stdin>``."""
    file: str | None = getattr(sys.modules["__main__"], "__file__", None)
    return None if file == "<stdin>" and not os.path.exists(file) else file  # noqa: PTH110  (spares pathlib)


def main_is_out_of_reach(context: Any) -> bool:
    """Whether workers that the context starts have another ``__main__``, with nothing of the program's in it."""
    name_of = getattr(context, "get_start_method", None)
    if name_of is None or name_of() == "fork":
        return False
    # As multiprocessing.spawn tells its children where to find it.
    return getattr(sys.modules["__main__"].__spec__, "name", None) is None and main_file() is None


def make_pickler_by_value(sink: Any) -> Any:
    """As ``make_pickler``, but functions and classes of ``__main__`` are sent whole, not by their names."""
    cloud = _cloud_pickler()
    return _Refusing(sink, 5, True, sink.buffer) if cloud is None else cloud(sink, 5, sink.buffer)


class _Refusing(reduction.ForkingPickler):
    """Says what is wrong with names of ``__main__`` where no worker could look them up."""

    def reducer_override(self, what: Any) -> Any:
        if isinstance(what, (FunctionType, type)) and what.__module__ == "__main__":
            raise pickle.PicklingError(
                f"workers cannot import {what.__qualname__} from __main__, which is in no file: put it into a module,"
                " or pip install cloudpickle, which sends it whole"
            )
        return NotImplemented


class ByValue:
    """A value that arrives as itself, in a process that has another ``__main__``."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __reduce__(self) -> tuple[Any, ...]:
        cloud = _cloud_pickler()
        if cloud is None:
            return _same, (self._value,)
        pickled = io.BytesIO()
        cloud(pickled, 5).dump(self._value)
        return pickle.loads, (pickled.getvalue(),)


def _same(value: Any) -> Any:
    return value


# What pickle says, in the words of its versions, when it would have had to send something by a name.
_ABOUT_NAMES = ("attribute lookup", "local object", "not the same object", "not found as", "'module' object")


def _is_about_names(error: BaseException) -> bool:
    text = str(error)
    return any(words in text for words in _ABOUT_NAMES)
