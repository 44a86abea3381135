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
