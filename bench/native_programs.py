"""Builds the small C++ programs of bench/native/ and says where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent / "native"
BUILT = Path(__file__).parent.parent / "build" / "bench"
FLAGS = ("-O2", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-pthread")


def build() -> Path:
    """Compiles what is older than its source; returns the folder. RuntimeError where that is not possible."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise RuntimeError("the physical limits are measured by C++ programs, and there is no C++ compiler (CXX, c++)")
    BUILT.mkdir(parents=True, exist_ok=True)
    common = max(path.stat().st_mtime for path in HERE.glob("*.h"))
    for source in sorted(HERE.glob("*.cpp")):
        program = BUILT / source.stem
        if not program.exists() or program.stat().st_mtime < max(common, source.stat().st_mtime):
            subprocess.run([compiler, *FLAGS, str(source), "-o", str(program)], check=True)
    return BUILT
