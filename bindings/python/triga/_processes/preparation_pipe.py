"""The pipe from which a process that is started reads its preparation data and what it is to run."""

from __future__ import annotations

import os

ANY = -1  # as any_number in runtime/proc/start_request.h


def open_standard_streams() -> list[int]:
    """Those of the descriptors 0, 1 and 2 that are open."""
    found = []
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found


class PreparationPipe:
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
