"""Outcomes of the unpatched arm, kept between runs until the interpreter or the worker changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.conformance.arm import WORKER, Arm
from tests.conformance.outcome import ModuleRun, Outcome


class Cache:
    """One file a module under ``folder``."""

    def __init__(self, folder: Path, arm: Arm) -> None:
        what = (arm.interpreter.version, arm.interpreter.base, *arm.resources)
        worker = WORKER.read_bytes()
        self._key = hashlib.sha256(repr(what).encode() + worker).hexdigest()
        self._folder = folder / "unpatched"

    def load(self, module: str) -> ModuleRun:
        """What is known of a module; nothing if it was found out under other conditions."""
        try:
            stored = json.loads((self._folder / f"{module}.json").read_text())
        except FileNotFoundError:
            return ModuleRun()
        if stored["key"] != self._key:
            return ModuleRun()
        return ModuleRun(stored["listed"], {name: Outcome(**fields) for name, fields in stored["outcomes"].items()})

    def store(self, module: str, run: ModuleRun) -> None:
        """Keeps what is known of a module."""
        self._folder.mkdir(parents=True, exist_ok=True)
        outcomes = {name: outcome.to_json() for name, outcome in run.outcomes.items()}
        text = json.dumps({"key": self._key, "listed": run.listed, "outcomes": outcomes}, indent=1)
        part = self._folder / f"{module}.json.part"
        part.write_text(text)
        part.replace(self._folder / f"{module}.json")
