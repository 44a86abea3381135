"""One SIGINT at a random moment of each blocking call of the main thread ends it in KeyboardInterrupt.

Not on the standard library: there a signal that comes between letting go of the GIL and falling asleep is lost.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("interrupts_program.py")
CALLS = 30  # in the program


@pytest.mark.parametrize("seed", [1, 2])
def test_one_sigint_ends_each_blocking_call(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), str(seed)],
        capture_output=True,
        text=True,
        env={**os.environ, "TRIGA": "threads"},
        timeout=300,
    )
    names = done.stdout.splitlines()
    assert (done.returncode, names[-1:], done.stderr) == (0, ["end"], "")
    assert len(names) == CALLS + 1
