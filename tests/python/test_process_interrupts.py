"""A KeyboardInterrupt between any two lines of what starts a process leaves a program that can start the next one.

Some lines, chosen by TRIGA_SEED; ``make stress`` takes them all (TRIGA_INTERRUPTS=0).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("interrupted_starts.py")
MOMENTS = int(os.environ.get("TRIGA_INTERRUPTS", "25"))


def reported(method: str, *lines: int) -> list[object]:
    command = [sys.executable, "-m", "triga", str(PROGRAM), method]
    told = " ".join(map(str, lines))
    done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=100 if MOMENTS else None)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(120 if MOMENTS else 1800)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_interrupt_at_any_line_leaves_a_program_that_can_start(method: str) -> None:
    (lines,) = reported(method)
    assert isinstance(lines, int)
    assert lines > 50, "the start did not run in the package that is watched"
    moments = range(1, lines + 1)
    seed = int(os.environ.get("TRIGA_SEED", "1"))
    chosen = sorted(random.Random(seed).sample(moments, MOMENTS)) if MOMENTS else moments
    assert reported(method, *chosen) == [[line, 7] for line in chosen]
