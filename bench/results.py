"""The samples of every row and arm, what follows from them, and their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.measure import Sample
from bench.rows import Row


@dataclass
class Arm:
    """One arm's samples of a row, or why it has none."""

    samples: list[Sample] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        """The median cost."""
        return median(sample.value for sample in self.samples)

    @property
    def cpu_us(self) -> float:
        """The median CPU microseconds an operation."""
        return median(sample.cpu_us for sample in self.samples)

    def extreme(self) -> tuple[float, float]:
        """The least and the greatest cost."""
        values = [sample.value for sample in self.samples]
        return min(values), max(values)

    def more(self) -> dict[str, float]:
        """The medians of what the runs said beside."""
        names = dict.fromkeys(name for sample in self.samples for name in sample.more)
        return {name: median(sample.more[name] for sample in self.samples if name in sample.more) for name in names}

    def as_json(self) -> dict[str, object]:
        """For machines."""
        if not self.samples:
            return {"failure": self.failure}
        least, greatest = self.extreme()
        summary = {"median": self.median, "min": least, "max": greatest, "cpu_us": self.cpu_us, **self.more()}
        return summary | {"values": [sample.value for sample in self.samples], "failure": self.failure}


@dataclass
class Outcome:
    """A row with its arms and its physical limits."""

    row: Row
    arms: dict[str, Arm] = field(default_factory=dict)
    floors: dict[str, Arm] = field(default_factory=dict)

    def has(self, arm: str) -> bool:
        """True if the arm gave a number."""
        return arm in self.arms and bool(self.arms[arm].samples)

    def best_peer(self) -> str | None:
        """The peer with the least cost, if any gave a number."""
        peers = [name for name in self.row.peers if self.has(name)]
        return min(peers, key=lambda name: self.arms[name].median, default=None)

    def ratio(self, arm: str | None) -> float | None:
        """How many times less triga costs than the arm."""
        if arm is None or not self.has(arm) or not self.has("triga"):
            return None
        mine = self.arms["triga"].median
        return self.arms[arm].median / mine if mine else None

    def behind(self, arm: str) -> bool:
        """True if triga's median is worse than the arm's and their spreads do not even touch, or it is 10 % worse."""
        ratio = self.ratio(arm)
        if ratio is None or ratio >= 1:
            return False
        return ratio < 0.9 or self.arms["triga"].extreme()[0] > self.arms[arm].extreme()[1]

    def floor_value(self, arm: Arm) -> float:
        """A limit in the row's unit: limits are in microseconds."""
        return arm.median / 1_000 if self.row.unit == "ms" else arm.median

    def times_the_limit(self) -> float | None:
        """What triga costs in units of the nearest of its physical limits."""
        limits = [self.floor_value(arm) for arm in self.floors.values() if arm.samples]
        return self.arms["triga"].median / max(limits) if limits and self.has("triga") else None

    def verdict(self) -> str:
        """Where triga loses, and how it stands to its goal."""
        if not self.has("triga"):
            return f"triga: {self.arms['triga'].failure}" if "triga" in self.arms else "triga: not measured"
        behind = [name for name in ("stdlib", *self.row.peers) if self.behind(name)]
        words = [f"**loses to {', '.join(behind)}**"] if behind else []
        against = self.ratio(self.row.reference)
        if self.row.goal is not None and against is not None:
            kept = "goal kept" if against >= self.row.goal else "goal missed"
            words.append(f"{kept}: {against:.2g}x of {self.row.goal:g}x {self.row.reference}")
            limit = self.times_the_limit()
            if against < self.row.goal and limit is not None:
                words.append(f"at {limit:.3g} times the limit")
        return "; ".join(words)

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "group": self.row.group,
            "name": self.row.name,
            "title": self.row.title,
            "unit": self.row.unit,
            "goal": self.row.goal,
            "reference": self.row.reference,
            "arms": {name: arm.as_json() for name, arm in self.arms.items()},
            "limits": {name: arm.as_json() for name, arm in self.floors.items()},
            "ratio_to_stdlib": self.ratio("stdlib"),
            "best_peer": self.best_peer(),
            "ratio_to_best_peer": self.ratio(self.best_peer()),
        }


def as_json(
    machine: Mapping[str, object], python: Mapping[str, object], outcomes: list[Outcome], **options: object
) -> dict[str, object]:
    """The whole result."""
    return {"machine": dict(machine), **python, "options": options, "rows": [each.as_json() for each in outcomes]}
