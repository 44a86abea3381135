"""What is changed in the modules of multiprocessing that start processes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace


# What a pool's worker runs.
_POOL_WORKER = ("triga._processes.worker", "triga._processes.link")


def boot_ahead(context: Any, worker: tuple[str, ...]) -> None:
    """Boots the zygote that a pool's workers will be copied from, if CONTEXT has them copied from one.

    For who is about to start them and has something to do before. WORKER are the modules that they run.
    """
    method = getattr(context, "_name", None)
    if method not in ("spawn", "forkserver"):
        return
    from triga._install import installed_parts
    from triga._processes.launcher import why_not_here

    # Not installed: triga's own classes, by name, over the standard library's processes.
    if "processes" not in installed_parts() or why_not_here() is not None:
        return
    if method == "spawn":
        from triga._processes.spawn_zygote import zygote

        zygote.prepare(worker)
    else:
        from multiprocessing import forkserver

        from triga._processes.forkserver import prepare

        prepare(forkserver._forkserver, worker)


def patch_context(module: ModuleType, replace: Replace) -> None:
    """Contexts: a pool has its zygote booted while the program imports what a pool consists of."""
    stock = module.BaseContext.Pool

    def Pool(
        self: Any,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> Any:
        """Returns a process pool object."""
        boot_ahead(self.get_context(), _POOL_WORKER)
        return stock(self, processes, initializer, initargs, maxtasksperchild)

    replace(module.BaseContext, "Pool", Pool)


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
