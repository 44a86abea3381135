"""The code of the program's main module, which the zygote compiles once and each of its clones runs.

Only what a compilation gives is kept. The module runs in each process, then and not before, as spawn has it. A file
that has changed since, that was changed too shortly before to tell, or whose compilation warns (each process has to
show that warning) is compiled by each process for itself.
"""

from __future__ import annotations

import os
import runpy
import time
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

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


def keep(path: str | None) -> bool:
    """Compiles the file and makes runpy.run_path() of it use that code, once in each clone. Returns whether it does."""
    try:
        compiled = None if path is None else _compiled(path)
    except Exception:  # who runs the file will say so
        compiled = None
    if compiled is None:
        return False
    code, identity = compiled
    stock: Any = runpy._get_code_from_file  # type: ignore[attr-defined]

    # (run_name, fname), which returns the code and the name; later (fname) and (fname, module), which return the code.
    returns_both = stock.__code__.co_varnames[0] == "run_name"

    def get_code(*arguments: str) -> Any:
        name = arguments[1] if returns_both else arguments[0]
        if name != path or _identity(os.stat(name)) != identity:  # noqa: PTH116
            return stock(*arguments)
        runpy._get_code_from_file = stock  # type: ignore[attr-defined]
        return (code, name) if returns_both else code

    runpy._get_code_from_file = get_code  # type: ignore[attr-defined]
    return True
