"""docs/conformance.md, from the results that the referee has stored for each interpreter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conformance import known
from tests.conformance.report import COLUMNS, markdown

_HEAD = """\
# Conformance: CPython's own suites under triga

Written by `python -m tests.conformance --write-docs`; do not edit. How the referee works is in
[testing.md](testing.md#conformance).

*Passed unpatched* is the interpreter's suite on the standard library as it is, on the same machine. *Reached native*
are the tests that passed under triga **and** moved a counter of the C++ core, in their own process or in one they
started: only of these does "passes" say anything about triga. The others test something that triga leaves alone, or a
C or pure-Python class of the standard library by name. *Differ* counts what passed unpatched and did not under triga,
twice; *flaky* what failed once and not again when run alone.
"""


def _section(stored: dict[str, Any]) -> str:
    rows = []
    for name, suite in sorted(stored["suites"].items()):
        rows.append([name, *(str(suite["row"][column]) for column in COLUMNS[1:])])
    text = f"## CPython {stored['full']}\n\n{markdown(rows)}\n"
    absent = [name for name in stored["absent"] if name not in stored["suites"]]
    if absent:
        text += f"\nAbsent, as this interpreter came without them: {', '.join(absent)}.\n"
    return text + _differences(stored)


def _differences(stored: dict[str, Any]) -> str:
    entries = known.load()
    listed: dict[str, list[str]] = {}
    for suite in stored["suites"].values():
        for module in suite["modules"].values():
            for test in module["differences"]:
                reasons = [entry.reason for entry in entries if entry.covers(test, stored["release"])]
                tests = listed.setdefault(reasons[0] if reasons else "not explained yet", [])
                if test not in tests:
                    tests.append(test)
    if not listed:
        return "\nNo differences.\n"
    text = "\nDifferences:\n"
    for reason, tests in sorted(listed.items()):
        text += f"\n- {reason}\n" + "".join(f"  - `{test}`\n" for test in tests)
    return text


def write(results: Path, target: Path) -> None:
    """Writes the page from every ``full.json`` below ``results``."""
    found = [json.loads(path.read_text()) for path in results.glob("*/full.json")]
    found.sort(key=lambda stored: [int(part) for part in stored["release"].split(".")])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join([_HEAD, *map(_section, found)]), encoding="utf-8")
