"""Builds the small C++ programs of bench/native/ and says where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
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


# Printed by the interpreter that is measured: where its headers are, and what its extension modules' names end in.
_ASK = "import sysconfig; print(sysconfig.get_path('include')); print(sysconfig.get_config_var('EXT_SUFFIX'))"


@cache
def build_modules(python: str) -> Path:
    """Compiles the extension modules of bench/native/python for the interpreter; returns their folder."""
    build()
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=True)
    include, suffix = asked.stdout.splitlines()
    folder = BUILT / "python"
    folder.mkdir(exist_ok=True)
    for source in sorted((HERE / "python").glob("*.cpp")):
        module = folder / f"{source.stem}{suffix}"
        if not module.exists() or module.stat().st_mtime < source.stat().st_mtime:
            command = [os.environ.get("CXX", "c++"), *FLAGS, "-shared", "-fPIC", f"-I{include}"]
            subprocess.run([*command, str(source), "-o", str(module)], check=True)
    return folder


# The C++ pools: the macro that chooses one, its header, and what it is linked with.
POOLS = {
    "stdlib": ("TEXTBOOK", "mutex", ()),
    "triga": ("TRIGA", "mutex", ()),
    "tbb": ("TBB", "tbb/task_arena.h", ("-ltbb",)),
    "taskflow": ("TASKFLOW", "taskflow/taskflow.hpp", ()),
    "bs": ("BS", "BS_thread_pool.hpp", ()),
}


def build_pools() -> dict[str, str]:
    """Compiles bench/native/pool for each pool whose header is there; the name of each to its header."""
    build()
    compiler = os.environ.get("CXX", "c++")
    root = HERE.parent.parent
    core = [path for room in ("base", "sync", "trace", "exec") for path in (root / "runtime" / room).glob("*.cpp")]
    found = {}
    for name, (macro, header, libraries) in POOLS.items():
        include = f"#include <{header}>\n"
        look = subprocess.run([compiler, "-E", "-x", "c++", "-"], input=include, capture_output=True, text=True)
        if look.returncode != 0:
            how = "scripts/setup python3 bench installs it where the distribution has it; CPATH may name its folder"
            print(f"pool {name} is left out: there is no <{header}> ({how})", file=sys.stderr)
            continue
        found[name] = header
        sources = [HERE / "pool" / "pool.cpp", *(core if name == "triga" else [])]
        newest = max(path.stat().st_mtime for path in [*sources, *(HERE / "pool").glob("*.h")])
        program = BUILT / f"pool_{name}"
        if not program.exists() or program.stat().st_mtime < newest:
            flags = ["-O2", "-std=c++20", "-pthread", f"-DPOOL_{macro}", f"-I{root}"]
            subprocess.run([compiler, *flags, *map(str, sources), "-o", str(program), *libraries], check=True)
    return found
