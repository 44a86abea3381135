"""The forkserver start method: a clone of the zygote that multiprocessing.forkserver manages."""

from __future__ import annotations

import os
from multiprocessing import forkserver

from triga._processes.child import ChildPopen, native_bases
from triga._processes.fallback import reason_of, tell
from triga._processes.forkserver import is_left, leave_to_standard_library, start
from triga._processes.launcher import why_not_here
from triga._processes.popen_spawn import pickled
from triga._processes.preparation_pipe import PreparationPipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from types import ModuleType


def make_popen(module: ModuleType) -> type:
    """A native Popen on top of the class that ``module``, a copy of multiprocessing.popen_forkserver, defines."""

    class Popen(*native_bases(module.Popen)):  # type: ignore[misc]
        method = "forkserver"

        def poll(self, flag: int = os.WNOHANG) -> int | None:
            # In the standard library's class this method stands before ChildPopen's.
            if self._child is not None:
                return ChildPopen.poll(self, flag)
            code: int | None = super().poll(flag)
            return code

        def _launch(self, process_obj: BaseProcess) -> None:
            if why_not_here() is None and not is_left(forkserver._forkserver):
                try:
                    return self._launch_natively(process_obj)
                except OSError as error:
                    reason = reason_of(error)
                    if reason is None:
                        raise
                    tell(reason)
            leave_to_standard_library(forkserver._forkserver)
            self._fds: list[int] = []
            super()._launch(process_obj)

        def _launch_natively(self, process_obj: BaseProcess) -> None:
            data = pickled(self, process_obj)
            pipe = PreparationPipe()
            try:
                pipe.write(data)
                child = start(forkserver._forkserver, pipe.reader, self._fds)
            except BaseException:
                pipe.give_up()
                raise
            self._adopt(child)
            pipe.finish()

    Popen.__module__ = module.__name__
    Popen.__qualname__ = "Popen"
    return Popen
