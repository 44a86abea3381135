"""triga: a native concurrency runtime under CPython's threading, concurrent.futures, multiprocessing and asyncio.

``python -m triga script.py`` runs an unchanged program on it; ``triga.install()`` does the same from inside one. The
native classes can also be had by name, with nothing patched: ``triga.Pool``, ``triga.new_event_loop`` and the others.
"""

from __future__ import annotations

from triga import _core
from triga._install import install, installed, installed_parts, uninstall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    from triga._loop.run import new_event_loop, run
    from triga._processes.pool import Pool

__all__ = [
    "Pool",
    "ProcessPoolExecutor",
    "ThreadPoolExecutor",
    "__version__",
    "install",
    "installed",
    "installed_parts",
    "new_event_loop",
    "run",
    "stats",
    "uninstall",
]

__version__: str = _core.version

# Imported when they are asked for: each brings in the module of the standard library that it stands for.
_LAZY = {
    "Pool": "triga._processes.pool",
    "ProcessPoolExecutor": "triga._processes.executor",
    "ThreadPoolExecutor": "triga._threads.executor",
    "new_event_loop": "triga._loop.run",
    "run": "triga._loop.run",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def stats() -> dict[str, int]:
    """What the C++ core of this process has done since it started or was forked: counter name to count."""
    return _core.counters()
