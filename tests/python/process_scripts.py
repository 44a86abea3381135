"""Scripts that start processes, each run by a fresh interpreter on the standard library and on triga."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

METHODS = ["fork", "spawn", "forkserver"]
PRELUDE = """\
import multiprocessing as mp, os, signal, sys, time
def report(*values):
    import json
    print(json.dumps(values), flush=True)
"""


@pytest.fixture(params=["stdlib", "triga"])
def run(request: pytest.FixtureRequest, tmp_path: Path):
    """A function that runs a script's text with arguments, and returns the finished process."""
    counters = tmp_path / "counters"

    def run_script(text: str, *arguments: str, spawned: int | None = 1) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(PRELUDE + textwrap.dedent(text))
        environment = {**os.environ, "TRIGA": "processes" if request.param == "triga" else "0"}
        environment["TRIGA_STATS"] = str(counters)
        done = subprocess.run(
            [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60, env=environment
        )
        if request.param == "triga" and spawned is not None:
            lines = [json.loads(line) for line in counters.read_text().splitlines()]
            assert max(line["processes_spawned"] for line in lines) >= spawned, "the C++ core started nothing"
        return done

    run_script.backend = request.param  # type: ignore[attr-defined]
    return run_script


def values(done: subprocess.CompletedProcess[str]) -> list[object]:
    """What the script reported, line by line; fails with its standard error if it failed."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
