"""Starts a zygote: a fresh interpreter that runs triga._processes.zygote and no module of the program's."""

from __future__ import annotations

import os
import pickle
import sys
from multiprocessing import spawn, util

from triga._core import ChildProcess
from triga._core import spawn as spawn_program
from triga._processes.child import own_pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The first two descriptors of every zygote; what follows is named by its kind.
CONFIGURATION, PARENT, OWN = 3, 4, 5

# triga is found where the parent has it, and the current directory, which -c puts on the path, is not searched. Huge
# arenas come first, so that as many modules as possible lie in them. There is nothing to collect while modules come.
_COMMAND = (
    "import gc; gc.disable(); import sys; sys.path[:] = [p for p in sys.path if p] + [{home!r}]; "
    "from triga._core import use_huge_arenas; use_huge_arenas(); "
    "from triga._processes.zygote import main; main()"
)

# Either has each interpreter keep a file open, to which it writes again in a fork.
_PERF_SUPPORT = ("PYTHONPERFSUPPORT", "PYTHON_PERF_JIT_SUPPORT")


def main_path() -> str | None:
    """The file that a spawned process will run as its main module (init_main_from_path of the preparation data)."""
    main = sys.modules.get("__main__")
    path: str | None = getattr(main, "__file__", None)
    if path is None or getattr(getattr(main, "__spec__", None), "name", None) is not None:
        return None
    return os.path.abspath(path)  # noqa: PTH100


def _directory() -> str | None:
    """The current directory, by which relative entries of sys.path are meant; None if it was removed."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None


def why_not_here() -> str | None:
    """Why this process cannot have a zygote: then the standard library's own start method runs. None if it can."""
    executable = spawn.get_executable()
    if getattr(sys, "frozen", False):
        return "the program is frozen"
    if not executable or not sys.executable:
        return "there is no Python executable"
    if os.fsencode(executable) != os.fsencode(sys.executable):
        return "multiprocessing.set_executable() chose another interpreter"
    if any(os.environ.get(name, "0") not in ("", "0") for name in _PERF_SUPPORT):
        return "the interpreters write maps for perf, at descriptors whose numbers a clone is given for others"
    return None


def boot(kind: str, configuration: dict[str, Any], descriptors: list[int]) -> ChildProcess:
    """Starts a zygote that is told CONFIGURATION (its modules among it) and has DESCRIPTORS from OWN on."""
    from triga._install import installed_parts, preloaded_modules

    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    told = {"kind": kind, "parts": sorted(installed_parts()), **configuration}
    told |= {"descriptors": len(descriptors), "main_path": main_path()}
    told |= {"named": preloaded_modules(), "path": sys.path[:], "directory": _directory()}
    executable = os.fsdecode(spawn.get_executable())
    flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [executable, *flags, "-c", _COMMAND.format(home=home), "--multiprocessing-fork"]
    memory = os.memfd_create("triga-zygote")
    try:
        with open(memory, "wb", closefd=False) as file:
            pickle.dump(told, file)
        os.lseek(memory, 0, os.SEEK_SET)
        return spawn_program(executable, command, [memory, own_pidfd(), *descriptors])
    finally:
        os.close(memory)
