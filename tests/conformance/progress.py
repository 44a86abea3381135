"""Says how far a run is: one rewritten line on a terminal, nothing elsewhere but the tests that did not pass."""

from __future__ import annotations

import shutil
import sys
import threading
from typing import TextIO

from tests.conformance.outcome import BAD, Outcome


class Progress:
    """Counts tests as they end; may be told by several threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._lock = threading.Lock()  # guards the counts and the stream
        self._counts = {"tests": 0, "bad": 0}

    def tell(self, arm: str, test: str, outcome: Outcome) -> None:
        """A test has ended."""
        with self._lock:
            self._counts["tests"] += 1
            bad = outcome.outcome in BAD and arm != "unpatched"
            self._counts["bad"] += bad
            if bad:
                self._erase()
                print(f"{outcome.outcome:5} {arm}: {test}", file=self._stream, flush=True)
            if self._terminal:
                width = shutil.get_terminal_size().columns - 1
                line = f"{self._counts['tests']} tests, {self._counts['bad']} not passed | {arm}: {test}"
                print("\r" + line[:width].ljust(width), end="", file=self._stream, flush=True)

    def close(self) -> None:
        """Leaves the terminal's line empty."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._terminal:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", file=self._stream)
