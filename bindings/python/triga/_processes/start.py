"""What is changed in the modules of multiprocessing that start processes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from triga._patch import Replace


def patch_popen_fork(module: ModuleType, replace: Replace) -> None:
    """The fork start method: ForkProcess takes popen_fork.Popen from its module at each start."""
    from triga._processes.popen_fork import make_popen

    replace(module, "Popen", make_popen(module))


def patch_popen_spawn(module: ModuleType, replace: Replace) -> None:
    """The spawn start method."""
    from triga._processes.popen_spawn import make_popen

    replace(module, "Popen", make_popen(module))


def patch_popen_forkserver(module: ModuleType, replace: Replace) -> None:
    """The forkserver start method's side in the program."""
    from triga._processes.popen_forkserver import make_popen

    replace(module, "Popen", make_popen(module))


def patch_spawn(module: ModuleType, replace: Replace) -> None:
    """What a new process is told: a program on standard input is in no file that it could run as its main module.

    The standard library has it look for a file ``<stdin>``, which no process survives.
    """
    told_by = module.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, object]:
        from triga._processes.pickling import main_file

        told: dict[str, object] = told_by(name)
        if main_file() is None:
            told.pop("init_main_from_path", None)
        return told

    replace(module, "get_preparation_data", get_preparation_data)


def patch_forkserver(module: ModuleType, replace: Replace) -> None:
    """The forkserver itself."""
    from triga._processes.forkserver import patch_forkserver as patch

    patch(module, replace)
