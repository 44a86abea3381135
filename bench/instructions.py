"""python -m bench.instructions: what an operation of a loop, echo or http row takes in instructions.

Counted by valgrind's callgrind, which does not depend on the machine's mood: each row runs with few and with many
operations, and the difference is divided by theirs. In the rows with a server only the server is counted. A valgrind
may know neither pidfds, so triga's arm has ``TRIGA=loop``, nor io_uring, and then triga's loop makes a system call each
turn that it does not make in earnest; system calls themselves are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.machine import versions
from bench.measure import PROGRAMS, TIME_LIMIT, Failed, lines_of, load_command, server_kind
from bench.native_programs import build
from bench.rows import ROWS, Echo, Row

FEW, MANY = 500, 2_500  # messages
SCALES = 0.01, 0.03  # of the loop rows' counts
CONNECTIONS = 20
SLOWER = 10  # times, at the least, under valgrind


def self_costs(profile: str) -> Counter[str]:
    """Instructions by library, from callgrind's file: the cost lines that are not those of calls."""
    names: dict[str, str] = {}
    costs: Counter[str] = Counter()
    library, of_a_call = "", False
    for line in profile.splitlines():
        if found := re.match(r"c?ob=\((\d+)\)(?: (.*))?", line):
            if found[2]:
                names[found[1]] = Path(found[2]).name
            if line.startswith("ob="):
                library = names[found[1]]
        elif line.startswith("calls="):
            of_a_call = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            if not of_a_call:
                costs[library] += int(line.split()[1])
            of_a_call = False
    return costs


def command_of(python: str, row: Row, arm: str, scale: float) -> list[str]:
    """The program that is counted."""
    if row.echo is not None:
        program = "http_server.py" if row.program == "http" else "echo_server.py"
        return [python, str(PROGRAMS / program), server_kind(row.echo), arm]
    return [python, str(PROGRAMS / "loop.py"), row.name, str(scale), arm]


def load(native: Path, echo: Echo, where: str, pid: int) -> int:
    """Sends the messages; how many there were with those that warm up."""
    command = load_command(native, echo, where, pid)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=TIME_LIMIT * SLOWER)
    return echo.messages + echo.messages // 10


def count(python: str, native: Path, row: Row, arm: str, many: bool) -> tuple[int, Counter[str]]:
    """One run: its operations and its instructions by library. Raises Failed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIGA")}
    environment = inherited | ({"TRIGA": "loop"} if arm == "triga" else {})
    with TemporaryDirectory() as folder:
        profile = Path(folder, "profile")
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
        with Path(folder, "errors").open("w+") as errors, subprocess.Popen(
            [*callgrind, *command_of(python, row, arm, SCALES[many])],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            if row.echo is not None:
                echo = replace(row.echo, connections=CONNECTIONS, messages=(FEW, MANY)[many])
                where = process.stdout.readline().strip()
                if not where:
                    raise Failed(f"the server did not start: {(lines_of(errors) or ['nothing printed'])[-1]}")
                operations = load(native, echo, where, process.pid)
            output, _ = process.communicate(timeout=TIME_LIMIT * SLOWER)  # closes stdin: the server ends
            if process.returncode != 0:
                raise Failed(f"exit code {process.returncode}: {(lines_of(errors) or ['nothing printed'])[-1]}")
            if row.echo is None:
                operations = json.loads(output.strip().splitlines()[-1])["operations"]
        return operations, self_costs(profile.read_text(errors="replace"))


def an_operation(python: str, native: Path, row: Row, arm: str) -> dict[str, float]:
    """Instructions an operation, by library. Raises Failed."""
    (few, before), (many, after) = (count(python, native, row, arm, which) for which in (False, True))
    return {library: (after[library] - before[library]) / (many - few) for library in after}


def own(costs: Mapping[str, float], arm: str) -> float:
    """Those of the arm's own library: the extension is triga's _core, uvloop's loop or one by the arm's name."""
    mark = {"triga": "_core.", "uvloop": "loop."}.get(arm, arm)
    return sum(cost for library, cost in costs.items() if library.startswith((mark, f"_{mark}")))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("rows", nargs="+", metavar="GROUP/NAME", help="rows of loop, echo and http")
    parser.add_argument("--arms", default="stdlib,triga,uvloop,rloop", metavar="A,B")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with triga and the peers installed")
    options = parser.parse_args()
    rows = [row for row in ROWS if row.key in options.rows and row.group in ("loop", "echo", "http")]
    if len(rows) != len(set(options.rows)) or any(row.echo and row.echo.server == "idle" for row in rows):
        parser.error("rows of loop, echo (but idle) and http by their keys; python -m bench --list has them")
    if shutil.which("valgrind") is None:
        parser.error("valgrind is missing; type: sudo apt-get install valgrind")
    python, native = versions(options.python), build()
    packages = python["packages"]
    assert isinstance(packages, dict)
    arms = [arm for arm in options.arms.split(",") if arm in ("stdlib", *packages)]
    named = ", ".join(f"{name} {version}" for name, version in packages.items() if name in arms)
    print(f"Instructions an operation (those of the arm's own library), CPython {python['python']}: {named}.\n")
    print("| row |", " | ".join(arms), "|\n| --- |", "---: | " * len(arms), flush=True)
    for row in rows:
        cells = []
        for arm in arms:
            try:
                costs = an_operation(options.python, native, row, arm)
                cells.append(f"{sum(costs.values()):,.0f} ({own(costs, arm):,.0f})")
            except (Failed, subprocess.SubprocessError) as error:
                cells.append(f"failed: {error}")
        print(f"| {row.key} |", " | ".join(cells), "|", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
