"""Workers that die at random moments, from seeds: every task returns or fails with the right error, and none hangs.

The storm of a thousand deaths is behind ``make stress`` (tests/stress/test_process_storm.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("process_storm.py")


def run_storm(method: str, deaths: int, seeds: list[int], timeout: float) -> None:
    """Runs the program, and checks that it was a storm and what it left."""
    done = subprocess.run(
        [sys.executable, "-m", "triga", str(PROGRAM), method, str(deaths), *map(str, seeds)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("TRIGA")},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["lost"] > 0, "no death hit a task: not a storm"
    assert seen["deaths"] >= deaths
    assert all(now <= then for now, then in zip(seen["after"], seen["before"], strict=True)), seen


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_storm_of_deaths_loses_only_the_tasks_that_ran_and_leaves_nothing(method: str) -> None:
    run_storm(method, 40, [1, 2], 100)
