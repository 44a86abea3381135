"""The interpreter under test: its version, its own test suites, and whether triga is installed in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_ASK = """
import importlib.util, json, os, sys, sysconfig
try:
    import test.support
    home = os.path.dirname(sys.modules["test"].__file__)
except ImportError:
    home = None
found = {}
for entry in sorted(os.listdir(home)) if home else ():
    name, extension = os.path.splitext(entry)
    path = os.path.join(home, entry)
    if not name.startswith("test_"):
        continue
    if extension == ".py":
        found[name] = [name]
    elif os.path.isfile(os.path.join(path, "__init__.py")):
        parts = sorted(p[:-3] for p in os.listdir(path) if p.startswith("test_") and p.endswith(".py"))
        found[name] = [name + "." + part for part in parts] or [name]
try:
    from triga import __version__ as triga
except ImportError:
    triga = None
print(json.dumps({
    "executable": sys.executable, "base": os.path.realpath(sys._base_executable), "version": sys.version,
    "release": "%d.%d" % sys.version_info[:2], "full": sys.version.split()[0], "suites": found, "triga": triga,
    "has_tests": home is not None,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """What the referee knows of the interpreter under test."""

    executable: str
    base: str  # the interpreter that a virtual environment is of
    version: str  # sys.version
    release: str  # 3.13
    full: str  # 3.13.0
    suites: dict[str, list[str]]
    triga: str | None
    has_tests: bool

    @property
    def tag(self) -> str:
        """A name for a folder, the same for every virtual environment of one interpreter."""
        return f"{self.full}-{hashlib.sha256((self.base + self.version).encode()).hexdigest()[:8]}"


def clean_environment() -> dict[str, str]:
    """The environment of this process without what would change the interpreter under test."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TRIGA", "VIRTUAL_ENV"))}


def examine(executable: str) -> Interpreter:
    """Asks the interpreter about itself. Raises RuntimeError, in one sentence, where it cannot be judged."""
    try:
        done = subprocess.run(
            [executable, "-c", _ASK], capture_output=True, text=True, timeout=60, env=clean_environment(), cwd="/"
        )
    except OSError as error:
        raise RuntimeError(f"cannot run {executable}: {error.strerror}") from None
    if done.returncode:
        raise RuntimeError(f"{executable} cannot describe itself: {(done.stderr.strip() or '?').splitlines()[-1]}")
    found = Interpreter(**json.loads(done.stdout))
    if found.triga is None:
        raise RuntimeError(f"triga is not installed in {executable}: type {executable} -m pip install {Path.cwd()}")
    return found
