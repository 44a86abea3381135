"""python -m bench: runs the rows on every arm and prints the tables. docs/benchmarks.md explains them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench import plot, report, results
from bench.machine import description, versions
from bench.measure import Bench, Failed, Sample
from bench.native_programs import build, build_pools
from bench.results import Arm, Outcome
from bench.rows import GROUPS, ROWS, Floor, Row


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("groups", nargs="*", default=["all"], metavar="GROUP", help=f"{', '.join(GROUPS)}, all")
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose group/name contains WORD (a comma list)")
    parser.add_argument(
        "--python", default=sys.executable, help="the interpreter to measure; triga is installed for it"
    )
    parser.add_argument("--arms", default="", metavar="A,B", help="only these arms, of stdlib, triga and the peers")
    parser.add_argument(
        "--peers", default="all", metavar="A,B|all|none", help="the peers to compare with, if installed"
    )
    parser.add_argument("--rounds", type=int, help="runs of each arm: 7, or 3 if --quick")
    parser.add_argument("--scale", type=float, help="how much work a run does: 1, or 0.1 if --quick")
    parser.add_argument("--quick", action="store_true", help="a first look, in about ten minutes")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    options = parser.parse_args()
    for group in options.groups:
        if group not in (*GROUPS, "all"):
            parser.error(f"{group!r} is none of {', '.join(GROUPS)}, all")
    return options


def chosen_rows(options: argparse.Namespace) -> list[Row]:
    """The rows that the command line names."""
    groups = GROUPS if "all" in options.groups else options.groups
    words = options.only.split(",")
    return [row for row in ROWS if row.group in groups and any(word in row.key for word in words)]


def chosen_arms(row: Row, options: argparse.Namespace, installed: object) -> list[str]:
    """The arms of a row: the standard library, triga, and the peers that are installed and wanted."""
    assert isinstance(installed, dict)
    wanted = row.peers if options.peers == "all" else [name for name in row.peers if name in options.peers.split(",")]
    arms = ["stdlib", "triga", *(name for name in wanted if name in installed)]
    return [arm for arm in arms if not options.arms or arm in options.arms.split(",")]


def measure_row(bench: Bench, outcome: Outcome, arms: Sequence[str], floors: Sequence[Floor], rounds: int) -> None:
    """Runs the arms and the physical limits in turn, round after round, so that the machine's moods meet all alike."""
    runs: list[tuple[Arm, Callable[[], Sample]]] = []
    for name in arms:
        runs.append((outcome.arms.setdefault(name, Arm()), partial(bench.run, outcome.row, name)))
    for floor in floors:
        runs.append((outcome.floors.setdefault(floor.title, Arm()), partial(bench.run_floor, floor)))
    for at in range(rounds):
        # Each round starts with another arm: none is always first.
        first = at % len(runs)
        for arm, run in [*runs[first:], *runs[:first]]:
            if arm.failure:
                continue
            try:
                arm.samples.append(run())
            except Failed as reason:
                arm.failure = str(reason)
                arm.samples.clear()


def measure(bench: Bench, rows: Sequence[Row], options: argparse.Namespace, installed: object) -> list[Outcome]:
    """Every row; progress goes to the error stream."""
    rounds = options.rounds or (3 if options.quick else 7)
    floors: dict[str, Arm] = {}
    outcomes = []
    for at, row in enumerate(rows, 1):
        missing = [name for name in row.needs if name not in installed]  # type: ignore[operator]
        if missing:
            print(f"[{at}/{len(rows)}] {row.key}: left out, it needs {', '.join(missing)}", file=sys.stderr)
            continue
        start = time.perf_counter()
        outcome = Outcome(row)
        new = [floor for floor in row.floors if floor.key not in floors]
        measure_row(bench, outcome, chosen_arms(row, options, installed), new, rounds)
        floors.update({floor.key: outcome.floors[floor.title] for floor in new})
        outcome.floors = {floor.title: floors[floor.key] for floor in row.floors}
        outcomes.append(outcome)
        medians = ", ".join(f"{name} {report.spread(arm)}" for name, arm in outcome.arms.items())
        seconds = time.perf_counter() - start
        print(f"[{at}/{len(rows)}] {row.key}, {row.unit}: {medians} [{seconds:.0f} s]", file=sys.stderr, flush=True)
    return outcomes


def command_of(options: argparse.Namespace) -> str:
    """The command line that measures the same again."""
    words = ["python -m bench", *options.groups, *(["--quick"] if options.quick else [])]
    for name in ("only", "arms", "rounds", "scale"):
        if value := getattr(options, name):
            words.append(f"--{name} {value}")
    return " ".join(words if options.peers == "all" else [*words, f"--peers {options.peers}"])


def main() -> int:
    options = arguments()
    rows = chosen_rows(options)
    if options.list or not rows:
        print("\n".join(f"{row.key:<32} {row.title}" for row in rows or ROWS))
        return 0 if options.list else 2
    machine, python = description(), versions(options.python)
    scale = options.scale or (0.1 if options.quick else 1.0)
    installed = python["packages"]
    assert isinstance(installed, dict)
    if any(row.program == "pool" for row in rows):
        installed = installed | build_pools()
    outcomes = measure(Bench(options.python, build(), scale), rows, options, installed)
    how = command_of(options)
    text = report.markdown(machine, python, outcomes, how)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json:
        whole = results.as_json(machine, python, outcomes, scale=scale, how=how)
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot.draw(outcomes, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
