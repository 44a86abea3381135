"""triga: a native concurrency runtime under CPython's threading, concurrent.futures, multiprocessing and asyncio.

``python -m triga script.py`` runs an unchanged program on it; ``triga.install()`` does the same from inside one.
"""

from __future__ import annotations

from triga import _core
from triga._install import install, installed, installed_parts, uninstall

__all__ = ["__version__", "install", "installed", "installed_parts", "stats", "uninstall"]

__version__: str = _core.version


def stats() -> dict[str, int]:
    """What the C++ core of this process has done since it started or was forked: counter name to count."""
    return _core.counters()
