#!/usr/bin/env python3
"""Checks the layers of docs/architecture.md: who may include whom.

    check_layering.py ROOT

Rules: a room of runtime/ includes only rooms that LAYERS lists for it; Python headers appear only under bindings/ and
runtime/embed; a quoted include is written from the project's root and exists.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

BASE = {"base", "trace"}
SYNC = BASE | {"sync"}
LOOP = SYNC | {"io", "loop"}
LAYERS: dict[str, set[str]] = {
    "base": {"base"},
    "trace": BASE,
    "sync": SYNC,
    "exec": SYNC | {"exec"},
    "native": BASE | {"native"},
    "codec": BASE | {"codec"},
    "files": BASE | {"codec", "files"},
    "shm": SYNC | {"shm"},
    "io": SYNC | {"io"},
    "loop": LOOP,
    "net": LOOP | {"net"},
    "aio": LOOP | {"exec", "aio"},
    "proc": LOOP | {"shm", "proc"},
    "embed": SYNC | {"exec", "embed"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)
PYTHON_HEADERS = ("Python.h", "pybind11/", "structmember.h", "frameobject.h", "internal/pycore")


def room_of(path: Path) -> str:
    """The room of a file or an include: runtime/exec/task.h is exec, bindings/module.cpp is bindings."""
    return path.parts[1] if path.parts[0] == "runtime" and len(path.parts) > 2 else path.parts[0]


def violations(root: Path, file: Path) -> list[str]:
    """Every rule that FILE, relative to ROOT, breaks, as a sentence each."""
    here, found = room_of(file), []
    for style, name in INCLUDE.findall((root / file).read_text(encoding="utf-8")):
        if name.startswith(PYTHON_HEADERS):
            if here != "embed":
                found.append(f"{file}: includes {name}, but only bindings/ and runtime/embed may include Python")
        elif style == '"':
            target = Path(name)
            if not (root / target).is_file():
                found.append(f"{file}: {name} is not a path from the project's root")
            elif target.parts[0] != "runtime" or room_of(target) not in LAYERS.get(here, set()):
                found.append(f"{file}: {here} may not include {name}; see LAYERS in cmake/check_layering.py")
    return found


def main() -> int:
    root = Path(sys.argv[1])
    files = sorted(path.relative_to(root) for path in (root / "runtime").rglob("*") if path.suffix in {".h", ".cpp"})
    rooms = {room_of(file) for file in files}
    problems = [f"runtime/{room}: a room that LAYERS does not know" for room in sorted(rooms - LAYERS.keys())]
    for file in files:
        problems += violations(root, file)
    print("\n".join(problems) or f"{len(files)} files in {len(rooms)} rooms: no violation")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
