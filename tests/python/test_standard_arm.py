"""The plugin that repeats what fails on the standard library's own arm repeats nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest
runs = {}

@pytest.mark.parametrize("backend", ["stdlib", "triga"])
def test_passes_at_the_second_try(backend, tmp_path):
    runs[backend] = runs.get(backend, 0) + 1
    assert runs[backend] == 2

@pytest.mark.parametrize("backend", ["stdlib"])
def test_never_passes(backend):
    assert False

def test_of_no_arm():
    runs["none"] = runs.get("none", 0) + 1
    assert runs["none"] == 2
"""


def test_only_the_standard_arm_is_repeated_and_what_passed_then_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_arms.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "standard_arm", "-p", "no:cacheprovider", "test_arms.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "3 failed, 1 passed" in done.stdout
    named = [line for line in done.stdout.splitlines() if "own race" in line]
    assert len(named) == 1
    assert named[0].endswith("test_passes_at_the_second_try[stdlib]")
