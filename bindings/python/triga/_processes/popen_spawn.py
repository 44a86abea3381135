"""The spawn start method: a clone of the zygote in the place of an interpreter's start."""

from __future__ import annotations

import io
import os
import pickle
from multiprocessing import context, reduction, resource_tracker, spawn
from typing import TYPE_CHECKING, Any

from triga._processes.child import native_bases, own_pidfd
from triga._processes.fallback import reason_of, tell
from triga._processes.launcher import why_not_here
from triga._processes.spawn_zygote import zygote

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from types import ModuleType

_ANY = -1  # as any_number in runtime/proc/start_request.h


def _open_standard_streams() -> list[int]:
    found = []
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found


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


class Letter:
    """A pipe with what a process is to read: as much as the pipe holds can lie there before the process starts."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self._rest: list[memoryview] = []

    def write(self, *parts: bytes | memoryview) -> None:
        """Puts the parts into the pipe, as far as they find room."""
        os.set_blocking(self._writer, False)
        self._rest = [memoryview(part) for part in parts]
        try:
            written = os.writev(self._writer, self._rest)
        except BlockingIOError:
            return
        while self._rest and written >= len(self._rest[0]):
            written -= len(self._rest.pop(0))
        if self._rest:
            self._rest[0] = self._rest[0][written:]

    def finish(self) -> None:
        """Waits until the process has taken the rest, and closes the pipe."""
        os.close(self.reader)
        os.set_blocking(self._writer, True)
        with os.fdopen(self._writer, "wb", buffering=0) as file:
            for part in self._rest:
                rest = part
                while rest:
                    rest = rest[file.write(rest) :]

    def give_up(self) -> None:
        """Closes the pipe."""
        os.close(self.reader)
        os.close(self._writer)


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
            tracker = resource_tracker.getfd()
            self._fds.append(tracker)
            data = pickled(self, process_obj)
            streams = _open_standard_streams()
            inherited = list(dict.fromkeys([*streams, *map(int, self._fds)]))
            letter = Letter()

            def tell_it(changed: bool) -> None:
                variables = dict(os.environb) if changed else None
                head = pickle.dumps({"environment": variables, "streams": streams, "tracker": tracker})
                letter.write(len(head).to_bytes(8, "little"), head, data)

            try:
                child = zygote.start([letter.reader, own_pidfd(), *inherited], [_ANY, _ANY, *inherited], tell_it)
            except BaseException:
                letter.give_up()
                raise
            self._adopt(child)
            letter.finish()

    Popen.__module__ = module.__name__
    Popen.__qualname__ = "Popen"
    return Popen
