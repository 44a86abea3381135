"""What happened to a test in one run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

PASS, SKIP, FAIL, ERROR, HANG, CRASH = "pass", "skip", "fail", "error", "hang", "crash"
BAD = frozenset({FAIL, ERROR, HANG, CRASH})


@dataclass
class Outcome:
    """The outcome of one test, how long it took, and what the C++ core did meanwhile."""

    outcome: str
    seconds: float = 0.0
    counters: dict[str, int] = field(default_factory=dict)
    children: int = 0  # processes that ended during the test and had used the core
    altered: bool = False  # test.support.environment_altered, which regrtest reports as "env changed"
    excerpt: str = ""

    @property
    def native(self) -> bool:
        """Whether the test reached native code, here or in a process it started."""
        return bool(self.counters) or self.children > 0

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary without the fields that say nothing."""
        return {name: value for name, value in asdict(self).items() if value or name == "outcome"}


@dataclass
class ModuleRun:
    """One module's tests in one arm: the identifiers it has, in order, and the outcomes of those that ran."""

    listed: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
