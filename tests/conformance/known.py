"""The differences that are known: known_differences.toml, a list that may only shrink."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.conformance.compare import Comparison
from tests.conformance.outcome import PASS

FILE = Path(__file__).with_name("known_differences.toml")


@dataclass(frozen=True)
class Known:
    """An entry of the file: tests that match ``name`` differ on ``versions`` for ``reason``."""

    name: str
    versions: tuple[str, ...]
    reason: str

    def covers(self, test: str, release: str) -> bool:
        """Whether the entry speaks of this test on this release (such as 3.13)."""
        return release in self.versions and fnmatchcase(test, self.name)


def load(path: Path = FILE) -> list[Known]:
    """The entries. Raises ValueError for one that is not whole."""
    entries = []
    for number, table in enumerate(tomllib.loads(path.read_text(encoding="utf-8")).get("difference", []), 1):
        if set(table) != {"name", "versions", "reason"} or not all(table.values()):
            raise ValueError(f"{path.name}: difference {number} needs name, versions and reason, and nothing else")
        entries.append(Known(table["name"], tuple(table["versions"]), table["reason"]))
    return entries


def objections(comparison: Comparison, release: str, entries: list[Known]) -> list[str]:
    """What makes the run fail: differences that are not listed, and listed ones that are none any more."""
    found = []
    for test in comparison.differences:
        if not any(entry.covers(test, release) for entry in entries):
            outcome = comparison.triga[test]
            found.append(f"{test}: {outcome.outcome} under triga: {_last_line(outcome.excerpt)}")
    differing = {*comparison.differences, *comparison.flaky}
    for entry in entries:
        for test in comparison.tests:
            if entry.covers(test, release) and test not in differing and comparison.unpatched[test].outcome == PASS:
                found.append(f"{test}: passes, so take {entry.name!r} out of {FILE.name} for {release}")
    return found


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "no message"
