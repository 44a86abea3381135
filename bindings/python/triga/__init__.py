"""triga: a native concurrency runtime under CPython's threading, concurrent.futures, multiprocessing and asyncio.

``python -m triga script.py`` runs an unchanged program on it; ``triga.install()`` does the same from inside one. The
native classes can also be had by name, with nothing patched: ``triga.Pool``, ``triga.new_event_loop`` and the others.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    from triga import aio
    from triga._install import install, installed, installed_parts, uninstall
    from triga._loop.run import new_event_loop, run
    from triga._native.loops import Cancellation, parallel_for
    from triga._native.signatures import native_function
    from triga._processes.errors import TaskTimeoutError, WorkerLostError
    from triga._processes.pool import Pool

    __version__: str

__all__ = [
    "Cancellation",
    "Pool",
    "ProcessPoolExecutor",
    "TaskTimeoutError",
    "ThreadPoolExecutor",
    "WorkerLostError",
    "__version__",
    "aio",
    "install",
    "installed",
    "installed_parts",
    "native_function",
    "new_event_loop",
    "parallel_for",
    "run",
    "stats",
    "uninstall",
]

# Imported when they are asked for. Some bring in the module of the standard library that they stand for, all bring in
# the extension, and an interpreter that was only started to become a program's (triga._run) needs neither.
_LAZY = {
    "Cancellation": "triga._native.loops",
    "Pool": "triga._processes.pool",
    "ProcessPoolExecutor": "triga._processes.executor",
    "TaskTimeoutError": "triga._processes.errors",
    "ThreadPoolExecutor": "triga._threads.executor",
    "aio": "triga.aio",
    "install": "triga._install",
    "installed": "triga._install",
    "installed_parts": "triga._install",
    "native_function": "triga._native.signatures",
    "WorkerLostError": "triga._processes.errors",
    "new_event_loop": "triga._loop.run",
    "parallel_for": "triga._native.loops",
    "run": "triga._loop.run",
    "uninstall": "triga._install",
}
# What they stand for, where patching that imports the same module of ours: it has to be there first.
_STANDARD = {"Pool": "multiprocessing.pool"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from triga import _core

        return _core.version
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _STANDARD:
        import_module(_STANDARD[name])
    module = import_module(_LAZY[name])
    value = globals()[name] = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def stats() -> dict[str, int]:
    """What the C++ core of this process has done since it started or was forked: counter name to count."""
    from triga import _core

    return _core.counters()
