"""The code of the program's main module, which the zygote compiles once and each of its clones runs.

Only what a compilation gives is kept. The module runs in each process, then and not before, as spawn has it. A file
that has changed since, that was changed too shortly before to tell, or whose compilation warns (each process has to
show that warning) is compiled by each process for itself.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

# No file system's clock is coarser: a change within that time of another may leave a file's times as they were.
_CLOCK_STEP = 2.0


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _compiled(path: str) -> tuple[CodeType, tuple[int, ...]] | None:
    with open(path, "rb") as file:  # noqa: PTH123  (pathlib would cost the zygote more than all that is done here)
        status = os.fstat(file.fileno())
        source = file.read()
    if abs(time.time() - status.st_mtime) < _CLOCK_STEP:
        return None
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        code = compile(source, path, "exec", dont_inherit=True)
    return None if shown else (code, _identity(status))


_kept: tuple[str, CodeType, tuple[int, ...]] | None = None


def keep(path: str | None) -> None:
    """In the zygote: compiles the file, for its clones to run."""
    global _kept
    try:
        compiled = None if path is None else _compiled(path)
    except Exception:  # who runs the file will say so
        return
    if path is not None and compiled is not None:
        _kept = path, *compiled


def offer() -> None:
    """In a clone: runpy.run_path() of the file uses the kept code, the first time, if the file is still the same.

    Nor does it ask then whether the file is an archive or a directory to import from.
    """
    if _kept is None:
        return
    path, code, identity = _kept
    try:
        if _identity(os.stat(path)) != identity:  # noqa: PTH116
            return
    except OSError:
        return
    stock: Any = runpy._get_code_from_file  # type: ignore[attr-defined]

    # (run_name, fname), which returns the code and the name; later (fname) and (fname, module), which return the code.
    returns_both = stock.__code__.co_varnames[0] == "run_name"

    def get_code(*arguments: str) -> Any:
        runpy._get_code_from_file = stock  # type: ignore[attr-defined]
        sys.path_importer_cache.pop(path, None)
        name = arguments[1] if returns_both else arguments[0]
        if name != path:
            return stock(*arguments)
        return (code, name) if returns_both else code

    runpy._get_code_from_file = get_code  # type: ignore[attr-defined]
    sys.path_importer_cache[path] = None  # as where an import has found no importer for it
