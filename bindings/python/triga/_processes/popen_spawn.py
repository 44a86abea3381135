"""The spawn start method: a clone of the zygote in the place of an interpreter's start."""

from __future__ import annotations

import io
import os
import pickle
from multiprocessing import context, reduction, spawn

from triga._processes.child import native_bases, own_pidfd
from triga._processes.fallback import reason_of, tell
from triga._processes.launcher import why_not_here
from triga._processes.preparation_pipe import ANY, PreparationPipe, open_standard_streams
from triga._processes.spawn_zygote import zygote
from triga._processes.tracker import start_tracker, tracker_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from types import ModuleType
    from typing import Any


def pickled(popen: Any, process_obj: BaseProcess) -> memoryview:
    """What spawn._main reads in the child: the preparation data and the process object."""
    preparation = spawn.get_preparation_data(process_obj._name)  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    context.set_spawning_popen(popen)
    try:
        reduction.dump(preparation, buffer)
        reduction.dump(process_obj, buffer)
    finally:
        context.set_spawning_popen(None)
    return buffer.getbuffer()


def make_popen(module: ModuleType) -> type:
    """A native Popen on top of the class that ``module``, a copy of multiprocessing.popen_spawn_posix, defines."""

    class Popen(*native_bases(module.Popen)):  # type: ignore[misc]
        method = "spawn"

        def _launch(self, process_obj: BaseProcess) -> None:
            if why_not_here() is not None:
                super()._launch(process_obj)
                return
            try:
                self._launch_natively(process_obj)
            except OSError as error:
                reason = reason_of(error)
                if reason is None:
                    raise
                tell(reason)
                self._fds: list[Any] = []
                super()._launch(process_obj)

        def _launch_natively(self, process_obj: BaseProcess) -> None:
            start_tracker(zygote)
            tracker = tracker_descriptor()
            self._fds.append(tracker)
            data = pickled(self, process_obj)
            streams = open_standard_streams()
            inherited = list(dict.fromkeys([*streams, *map(int, self._fds)]))
            pipe = PreparationPipe()

            def tell_it(changed: bool) -> None:
                variables = dict(os.environb) if changed else None
                head = pickle.dumps({"environment": variables, "streams": streams, "tracker": tracker})
                pipe.write(len(head).to_bytes(8, "little"), head, data)

            try:
                child = zygote.start([pipe.reader, own_pidfd(), *inherited], [ANY, ANY, *inherited], tell_it)
            except BaseException:
                pipe.give_up()
                raise
            self._adopt(child)
            pipe.finish()

    Popen.__module__ = module.__name__
    Popen.__qualname__ = "Popen"
    return Popen
