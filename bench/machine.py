"""What the results were measured on, with nothing in it that names the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

from bench.rows import HTTP_SERVERS, LOOPS

PEERS = (*LOOPS, "loky", "joblib", "mpire", "pebble", "faster_fifo")

_VERSIONS = """
import importlib.metadata, importlib.util, json, platform, sys
names = sys.argv[1].split(",")
found = {name: importlib.metadata.version(name) for name in names if importlib.util.find_spec(name)}
print(json.dumps({"python": platform.python_version(), "compiler": platform.python_compiler(), "packages": found}))
"""


def versions(python: str, *more: str) -> dict[str, object]:
    """The interpreter's version and compiler, and the versions of the packages that it can import."""
    names = ",".join(("triga", "numpy", *HTTP_SERVERS, *PEERS, *more))
    answer = subprocess.run([python, "-c", _VERSIONS, names], capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def description() -> dict[str, object]:
    """Processor, cores, memory, kernel, C library."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release().split("-")[0],
        "libc": " ".join(platform.libc_ver()),
        "load_at_start": round(os.getloadavg()[0], 2),
    }
