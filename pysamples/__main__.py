"""Runs every sample on triga and closes with a table of what the C++ core did for each.

    python -m pysamples [--only WORD] [--plain]

Exits with 1 if a sample failed, or if the core's counters do not show the work that the sample asks for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pysamples.catalogue import COLUMNS, SAMPLES, Sample, add_up, shortfalls

TIME_LIMIT = 300  # seconds for one sample; the longest takes a few


@dataclass(frozen=True)
class Run:
    """How one sample ended."""

    sample: Sample
    exit_code: int | None  # None: it was stopped at the time limit
    seconds: float
    done: dict[str, int]

    def complaints(self, *, native: bool) -> list[str]:
        """What is wrong with this run; empty if nothing."""
        if self.exit_code is None:
            return [f"stopped after {TIME_LIMIT} s"]
        if self.exit_code != 0:
            return [f"exit code {self.exit_code}"]
        return shortfalls(self.sample, self.done) if native else []


def run(sample: Sample, *, native: bool) -> Run:
    """Runs ``sample`` in a process of its own, its output going where ours goes."""
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder) / "stats"
        runner = ["-m", "triga"] if native else []
        command = [sys.executable, *runner, str(sample.file), *sample.arguments]
        environment = {name: value for name, value in os.environ.items() if name not in ("TRIGA", "TRIGA_STATS")}
        start = time.perf_counter()
        try:
            ended = subprocess.run(
                command, env=environment | {"TRIGA_STATS": str(stats)}, timeout=TIME_LIMIT, check=False
            )
            exit_code = ended.returncode
        except subprocess.TimeoutExpired:
            exit_code = None
        seconds = time.perf_counter() - start
        lines = stats.read_text(encoding="utf-8").splitlines() if stats.exists() else []
    return Run(sample, exit_code, seconds, add_up(map(json.loads, lines)))


def table(runs: Sequence[Run]) -> str:
    """The closing table as text."""
    head = ["sample", "exit", "seconds", *COLUMNS]
    rows = [
        [each.sample.name, str(each.exit_code), f"{each.seconds:.2f}", *map(str, each.done.values())] for each in runs
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    first, *others = widths
    form = f"{{:<{first}}}" + "".join(f"  {{:>{width}}}" for width in others)
    return "\n".join(form.format(*row) for row in [head, ["-" * width for width in widths], *rows])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pysamples", description="run the samples on triga")
    parser.add_argument("--only", default="", metavar="WORD", help="run the samples whose name contains WORD")
    parser.add_argument("--plain", action="store_true", help="run them on the standard library instead, to compare")
    options = parser.parse_args()
    chosen = [sample for sample in SAMPLES if options.only in sample.name]
    if not chosen:
        parser.error(f"no sample's name contains {options.only!r}")
    runs = []
    for sample in chosen:
        print(f"== {sample.name}", flush=True)
        runs.append(run(sample, native=not options.plain))
    print("\nOn the standard library:" if options.plain else "\nWhat the C++ core did:")
    print(table(runs))
    complaints = [f"{each.sample.name}: {text}" for each in runs for text in each.complaints(native=not options.plain)]
    print("\n".join(complaints), file=sys.stderr, end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
