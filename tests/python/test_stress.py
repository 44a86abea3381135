"""A short run of the stress test; ``make stress`` has the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(("active", "tasks"), [("0", 3000), ("threads", 20_000)], ids=["stdlib", "triga"])
@pytest.mark.parametrize("seed", [1, 2])
def test_counts_add_up(active: str, tasks: int, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stress", "--seed", str(seed), "--tasks", str(tasks)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TRIGA": active},
        timeout=400,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "WRONG" not in done.stdout
