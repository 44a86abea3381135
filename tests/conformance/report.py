"""The referee's tables: for the terminal, as JSON, and as docs/conformance.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.compare import Comparison
from tests.conformance.interpreter import Interpreter
from tests.conformance.outcome import PASS, SKIP

COLUMNS = ("suite", "tests", "skipped", "passed unpatched", "passed under triga", "reached native", "differ", "flaky")


@dataclass
class SuiteReport:
    """What came out of one suite or group on one interpreter."""

    name: str
    comparisons: list[Comparison] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """The suite's line of the table."""
        whole = self.comparisons
        numbers = (
            sum(len(c.tests) for c in whole),
            sum(c.unpatched[test].outcome == SKIP for c in whole for test in c.tests),
            sum(c.passed(c.unpatched) for c in whole),
            sum(c.passed(c.triga) for c in whole),
            sum(c.reached() for c in whole),
            sum(len(c.differences) for c in whole),
            sum(len(c.flaky) for c in whole),
        )
        return (self.name, *map(str, numbers))

    def to_json(self) -> dict[str, Any]:
        """The row, the names that differ and the outcome of every test under triga."""
        return {
            "suite": self.name,
            "row": dict(zip(COLUMNS[1:], map(int, self.row()[1:]), strict=True)),
            "complete": all(c.complete for c in self.comparisons),
            "modules": {
                c.module: {
                    "differences": {name: c.triga[name].to_json() for name in c.differences},
                    "flaky": c.flaky,
                    "altered": [t for t in c.tests if c.triga[t].altered and not c.unpatched[t].altered],
                    "native": [t for t in c.tests if c.triga[t].outcome == PASS and c.triga[t].native],
                    "not native": [t for t in c.tests if c.triga[t].outcome == PASS and not c.triga[t].native],
                }
                for c in self.comparisons
            },
        }


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = COLUMNS) -> str:
    """Rows in columns, numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [[*header], ["-" * width for width in widths], *map(list, rows)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(rows: Iterable[Sequence[str]], header: Sequence[str] = COLUMNS) -> str:
    """The same as a Markdown table."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_json(path: Path, interpreter: Interpreter, reports: Sequence[SuiteReport], absent: Sequence[str]) -> None:
    """Keeps the result of a run for write_docs(): a suite's newest replaces its older one."""
    stored: dict[str, Any] = {"suites": {}}
    if path.exists():
        stored = json.loads(path.read_text())
        if stored.get("version") != interpreter.version:
            stored = {"suites": {}}
    stored |= {"version": interpreter.version, "release": interpreter.release, "full": interpreter.full}
    stored["absent"] = sorted({*absent, *stored.get("absent", ())} - {report.name for report in reports})
    stored["suites"] |= {report.name: report.to_json() for report in reports}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored, indent=1))
