"""Who did how much of what: counted once by those who ask and once by those who do."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    """Counts of work by kind. Every task is asked for once, and either runs once or is cancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.ran: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._wrong: list[str] = []

    def ask(self, kind: str, count: int = 1) -> None:
        """By the one that hands the work out."""
        with self._lock:
            self.asked[kind] += count

    def run(self, kind: str, count: int = 1) -> None:
        """By the task itself."""
        with self._lock:
            self.ran[kind] += count

    def cancel(self, kind: str) -> None:
        """By the one that sees the cancelled future."""
        with self._lock:
            self.cancelled[kind] += 1

    def fail(self, kind: str) -> None:
        """By the one that sees the exception."""
        with self._lock:
            self.failed[kind] += 1

    def check(self, right: bool, what: str) -> None:
        """Notes what is wrong."""
        if not right:
            with self._lock:
                self._wrong.append(what)

    def total(self) -> int:
        """Tasks asked for."""
        return sum(self.asked.values())

    def problems(self) -> list[str]:
        """What does not add up."""
        found = list(self._wrong)
        for kind in sorted(self.asked | self.ran | self.cancelled):
            asked, done = self.asked[kind], self.ran[kind] + self.cancelled[kind]
            if asked != done:
                found.append(f"{kind}: {asked} asked for, {self.ran[kind]} ran, {self.cancelled[kind]} were cancelled")
        if self.ran["failing task"] != self.failed["failing task"]:
            found.append(f"failing task: {self.ran['failing task']} raised, {self.failed['failing task']} were seen to")
        return found

    def describe(self) -> str:
        """One line."""
        parts = ", ".join(f"{count} of {kind}" for kind, count in sorted(self.asked.items()))
        return f"{self.total()} tasks: {parts}; {sum(self.cancelled.values())} cancelled"
