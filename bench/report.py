"""The tables, as Markdown, which reads well on a terminal too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.results import Arm, Outcome

HEAD = (
    "operation",
    "unit",
    "stdlib",
    "triga",
    "times faster",
    "best peer",
    "faster than it",
    "CPU us: stdlib, triga, peer",
    "physical limit",
    "verdict",
)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(arm: Arm | None) -> str:
    """``median (min-max)``, or why there is none."""
    if arm is None:
        return "-"
    if not arm.samples:
        return "failed"
    least, greatest = arm.extreme()
    return f"{number(arm.median)} ({number(least)}-{number(greatest)})"


def times(ratio: float | None) -> str:
    """``3.2x``."""
    return "-" if ratio is None else f"{ratio:.2f}x"


def cells(outcome: Outcome) -> list[str]:
    """One line of the table."""
    peer = outcome.best_peer()
    cpu = [
        number(outcome.arms[name].cpu_us) if name and outcome.has(name) else "-" for name in ("stdlib", "triga", peer)
    ]
    limits = [f"{number(outcome.floor_value(arm))} ({title})" for title, arm in outcome.floors.items() if arm.samples]
    return [
        outcome.row.title,
        outcome.row.unit,
        spread(outcome.arms.get("stdlib")),
        spread(outcome.arms.get("triga")),
        times(outcome.ratio("stdlib")),
        f"{peer} {spread(outcome.arms[peer])}" if peer else "-",
        times(outcome.ratio(peer)),
        ", ".join(cpu),
        "; ".join(limits) or "-",
        outcome.verdict(),
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with its columns under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def peers_table(outcomes: Sequence[Outcome]) -> list[str]:
    """Every arm of every row that has peers: median only."""
    names = list(dict.fromkeys(name for each in outcomes for name in each.arms))
    if not set(names) - {"stdlib", "triga"}:
        return []
    rows = [["every arm", *names]]
    for each in outcomes:
        if set(each.arms) - {"stdlib", "triga"}:
            medians = [
                number(each.arms[name].median) if each.has(name) else "failed" if name in each.arms else "-"
                for name in names
            ]
            rows.append([f"{each.row.title}, {each.row.unit}", *medians])
    return ["", *aligned(rows)]


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Each arm or limit that failed, and why."""
    found = [
        f"- {each.row.title}: {name}: {arm.failure}"
        for each in outcomes
        for name, arm in {**each.arms, **each.floors}.items()
        if arm.failure
    ]
    return ["", "Runs that failed:", "", *found] if found else []


def losses(outcomes: Sequence[Outcome]) -> list[str]:
    """Where triga is slower than anything it was compared with."""
    found = []
    for each in outcomes:
        behind = [name for name in each.arms if each.behind(name)]
        found += [f"- {each.row.title}: {name} costs {each.ratio(name):.2f} of it" for name in behind]
    return ["", "Where triga loses:", "", *(found or ["- nowhere in this run"])]


def markdown(machine: Mapping[str, object], python: Mapping[str, object], outcomes: Sequence[Outcome], how: str) -> str:
    """The whole report."""
    packages = python["packages"]
    assert isinstance(packages, dict)
    lines = [
        f"Measured by `{how}` on CPython {python['python']} ({python['compiler']}): "
        + ", ".join(f"{name} {version}" for name, version in packages.items()) + ".",
        "",
        "Machine: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()) + ".",
        "",
        "Costs an operation, less is better: median (least-greatest) of fresh processes, the arms taking turns.",
    ]  # fmt: skip
    for group in dict.fromkeys(each.row.group for each in outcomes):
        chosen = [each for each in outcomes if each.row.group == group]
        lines += ["", f"## {group}", "", *aligned([HEAD, *map(cells, chosen)]), *peers_table(chosen)]
    return "\n".join([*lines, *losses(outcomes), *failures(outcomes)]) + "\n"
