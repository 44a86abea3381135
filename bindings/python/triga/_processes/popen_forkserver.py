"""The forkserver start method: a clone of the zygote that multiprocessing.forkserver manages."""

from __future__ import annotations

import os
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from triga._processes.child import ChildPopen, native_bases
from triga._processes.forkserver import start
from triga._processes.popen_spawn import pickled, write_all

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from types import ModuleType


def make_popen(module: ModuleType) -> type:
    """A native Popen on top of the class that ``module``, a copy of multiprocessing.popen_forkserver, defines."""

    class Popen(*native_bases(module.Popen)):  # type: ignore[misc]
        method = "forkserver"
        poll = ChildPopen.poll

        def _launch(self, process_obj: BaseProcess) -> None:
            data = pickled(self, process_obj)
            reader, writer = os.pipe()
            try:
                child = start(forkserver._forkserver, reader, self._fds)
            except BaseException:
                os.close(writer)
                raise
            finally:
                os.close(reader)
            self._adopt(child)
            write_all(writer, data)

    Popen.__module__ = module.__name__
    Popen.__qualname__ = "Popen"
    return Popen
