"""How tasks and results are pickled: by multiprocessing's own pickler, so that registered reducers count."""

from __future__ import annotations

from multiprocessing import reduction
from typing import Any


def make_pickler(sink: Any) -> Any:
    """A pickler that writes to the sink; large buffers (NumPy arrays) travel beside the pickle, copied once.

    ``reduction.ForkingPickler`` is looked up now: a program may have replaced it.
    """
    return reduction.ForkingPickler(sink, 5, True, sink.buffer)
