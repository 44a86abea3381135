"""python -m tests.conformance: judges triga by CPython's own suites."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance import docs, known
from tests.conformance.arm import Arm, Stopped, stopping
from tests.conformance.cache import Cache
from tests.conformance.compare import Comparison, Referee
from tests.conformance.interpreter import Interpreter, examine
from tests.conformance.progress import Progress
from tests.conformance.report import SuiteReport, table, write_json
from tests.conformance.suites import ADAPTED, Selection, groups, select

ROOT = Path(__file__).resolve().parents[2]
# As `-u all` of regrtest without what leaves the machine, needs a display or writes gigabytes.
RESOURCES = ("cpu", "decimal", "subprocess", "walltime")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Runs CPython's own test suites on the standard library as it is and on triga, and compares.",
        epilog=f"Groups of suites: {', '.join(groups())}.",
    )
    parser.add_argument(
        "--python", default=sys.executable, help="an interpreter with triga installed (default: this one)"
    )
    parser.add_argument("--suites", nargs="+", default=["quick"], metavar="SUITE", help="suites, files or groups")
    parser.add_argument("--quick", action="store_true", help="without the tests that are slow on purpose")
    parser.add_argument("-m", "--match", action="append", default=[], metavar="PATTERN", help="only tests that match")
    parser.add_argument("-j", "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="modules at a time")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "conformance", help="logs, cache and results")
    parser.add_argument("--prepare", action="store_true", help="only fill the cache of the unpatched arm")
    parser.add_argument("--write-docs", action="store_true", help="write docs/conformance.md from all stored results")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM end the workers first: they have sessions of their own, so nobody else would."""

    def stop(number: int, frame: object) -> None:
        stopping.set()

    before = [signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


def judge_all(referee: Referee, selections: list[Selection], patterns: list[str], jobs: int) -> list[SuiteReport]:
    """Every module of every selection, ``jobs`` at a time."""
    with ThreadPoolExecutor(jobs) as pool, stopped_by_signals():

        def start(selection: Selection) -> list[Comparison]:
            futures = [
                pool.submit(referee.judge, module, classes, patterns) for module, classes in selection.modules.items()
            ]
            return [future.result() for future in futures]

        with ThreadPoolExecutor(max(1, len(selections))) as waiting:
            compared = list(waiting.map(start, selections))
    return [SuiteReport(s.name, c) for s, c in zip(selections, compared, strict=True)]


def prepare_all(referee: Referee, selections: list[Selection], patterns: list[str]) -> None:
    """The unpatched arm of every selection, one module at a time."""
    with stopped_by_signals():
        for selection in selections:
            for module, classes in selection.modules.items():
                referee.prepare(module, classes, patterns)


def report(interpreter: Interpreter, reports: list[SuiteReport], absent: list[str]) -> int:
    """Prints the table and what is wrong; returns how many things are."""
    print(f"\nCPython {interpreter.full}, triga {interpreter.triga}\n")
    print(table([r.row() for r in reports]))
    for name in absent:
        print(f"{name}: absent, this interpreter came without it")
    entries = known.load()
    wrong = []
    for each in (c for r in reports for c in r.comparisons):
        wrong += known.objections(each, interpreter.release, entries)
        for test in each.flaky:
            print(f"flaky: {test}: {each.triga[test].outcome} when run again alone")
    if wrong:
        print("\nNot as tests/conformance/known_differences.toml has it:")
        print("\n".join(f"  {line}" for line in wrong))
    return len(wrong)


def main(arguments: list[str] | None = None) -> int:
    """Runs the referee; 0 if every difference is a known one."""
    options = parse(arguments)
    try:
        interpreter = examine(options.python)
        selections, absent = select(options.suites, interpreter.suites)
    except (RuntimeError, ValueError) as problem:
        print(f"conformance: {problem}", file=sys.stderr)
        return 2
    mode = "quick" if options.quick else "full"
    home = options.output / interpreter.tag
    resources = () if options.quick else RESOURCES
    unpatched, triga = (Arm(interpreter, on, resources, home / "logs", ADAPTED) for on in (False, True))
    progress = Progress()
    referee = Referee(unpatched, triga, Cache(home / mode, unpatched), progress.tell)
    try:
        if options.prepare:
            prepare_all(referee, selections, options.match)
            return 0
        reports = judge_all(referee, selections, options.match, max(1, options.jobs))
    except Stopped:
        print("conformance: stopped", file=sys.stderr)
        return 130
    finally:
        progress.close()
    wrong = report(interpreter, reports, absent)
    if not options.match:
        write_json(home / f"{mode}.json", interpreter, reports, absent)
    if options.write_docs:
        docs.write(options.output, ROOT / "docs" / "conformance.md")
    tests = sum(len(c.tests) for r in reports for c in r.comparisons)
    print(f"\n{tests - wrong} passed, {wrong} failed")
    return 1 if wrong or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
