"""Runs the tests of one module of CPython's test package and writes what happened, one line of JSON an event.

    python worker.py REQUEST

REQUEST is a JSON file: ``module``, ``events`` (the file to append to), ``resources`` (those of regrtest's -u),
``only`` (test identifiers in the order to run, or null for all) and ``list`` (true: name the tests, run none). The
referee starts this program with the interpreter under test, so it uses nothing but that interpreter's library, and
prepares the process as ``python -m test`` does. Whatever the interpreter starts (spawn imports this file again) must
find nothing to run here at import.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# Bound now: tests replace functions of os while they run.
_open, _write, _close, _getpid, _clock = os.open, os.write, os.close, os.getpid, time.monotonic

EXCERPT = 6000  # characters of a traceback that an event carries, from its end


class Events:
    """The file of events. Opened for each one, so that tests which close every descriptor do no harm."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._process = _getpid()

    def write(self, kind: str, **fields: object) -> None:
        """Appends one event, unless this is a forked child that returned into the runner."""
        if _getpid() != self._process:
            return
        line = json.dumps({"event": kind, **fields}) + "\n"
        descriptor = _open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _write(descriptor, line.encode("utf-8", "backslashreplace"))
        finally:
            _close(descriptor)


class NativeWork:
    """How much the C++ core has done: in this process by its counters, in others by their line in TRIGA_STATS."""

    def __init__(self) -> None:
        self._stats = None
        self._children = ""
        if os.environ.get("TRIGA"):
            import triga

            self._stats = triga.stats
            self._children = os.environ.get("TRIGA_STATS", "")
        self._before: dict[str, int] = {}
        self._offset = 0

    def start(self) -> None:
        """Remembers where the counters stand."""
        if self._stats is not None:
            self._before = self._stats()
            self._children_since()

    def moved(self) -> tuple[dict[str, int], int]:
        """The counters that moved since start(), and how many processes that ended since had worked natively."""
        if self._stats is None:
            return {}, 0
        after = self._stats()
        return {name: n - self._before.get(name, 0) for name, n in after.items() if n != self._before.get(name, 0)}, (
            self._children_since()
        )

    def _children_since(self) -> int:
        try:
            descriptor = _open(self._children, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0
        try:
            text = os.pread(descriptor, 1 << 20, self._offset)
        finally:
            _close(descriptor)
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = [json.loads(line) for line in whole.splitlines()]
        return sum(any(n for name, n in line.items() if name != "pid") for line in lines)


def prepare(resources: list[str]) -> None:
    """What regrtest does to a process before the first test."""
    import faulthandler
    import resource

    from test import support

    os.umask(0o022)
    faulthandler.enable(all_threads=True, file=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024 <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    support.record_original_stdout(sys.stdout)
    support.verbose = 0
    support.use_resources = resources
    sys.addaudithook(lambda name, arguments: None)


def flatten(suite: object) -> list[object]:
    """The test cases of a suite of suites, in order."""
    import unittest

    if not isinstance(suite, unittest.TestSuite):
        return [suite]
    return [case for each in suite for case in flatten(each)]


def identify(cases: list[object]) -> dict[str, object]:
    """The cases by identifier; of two that call themselves the same, the second gets ``#2``."""
    named: dict[str, object] = {}
    for case in cases:
        name = base = case.id()  # type: ignore[attr-defined]
        number = 1
        while name in named:
            number += 1
            name = f"{base}#{number}"
        named[name] = case
    return named


def make_result(events: Events, names: dict[int, str], native: NativeWork) -> object:
    """A unittest result that writes an event when a test starts and one with its outcome when it ends."""
    import traceback
    import unittest

    from test import support

    severity = {"pass": 0, "skip": 1, "fail": 2, "error": 3}

    class Result(unittest.TestResult):
        outcome, excerpt, started = "pass", "", 0.0
        running: object = None

        def startTest(self, test: object) -> None:
            self.outcome, self.excerpt, self.running = "pass", "", test
            events.write("start", id=names[id(test)])
            support.environment_altered = False
            self.started = _clock()
            native.start()

        def stopTest(self, test: object) -> None:
            counters, children = native.moved()
            events.write(
                "end",
                id=names[id(test)],
                outcome=self.outcome,
                seconds=round(_clock() - self.started, 4),
                counters=counters,
                children=children,
                altered=bool(support.environment_altered),
                excerpt=self.excerpt,
            )
            self.running = None

        def note(self, test: object, outcome: str, text: str) -> None:
            if self.running is None:  # setUpClass and the like
                events.write("fixture", id=test.id(), outcome=outcome, excerpt=text)  # type: ignore[attr-defined]
            elif severity[outcome] > severity[self.outcome]:
                self.outcome, self.excerpt = outcome, text

        def trace(self, error: Any) -> str:
            # One string, made now: a traceback that is kept would keep the test's objects alive.
            return "".join(traceback.format_exception(*error))[-EXCERPT:]

        def addError(self, test: object, err: Any) -> None:
            self.note(test, "error", self.trace(err))

        def addFailure(self, test: object, err: Any) -> None:
            self.note(test, "fail", self.trace(err))

        def addSkip(self, test: object, reason: str) -> None:
            self.note(self.running or test, "skip", reason)

        def addSubTest(self, test: object, subtest: object, err: Any) -> None:
            if err is not None:
                failed = issubclass(err[0], test.failureException)  # type: ignore[attr-defined]
                self.note(test, "fail" if failed else "error", f"{subtest}\n{self.trace(err)}")

        def addExpectedFailure(self, test: object, err: Any) -> None:
            pass

        def addUnexpectedSuccess(self, test: object) -> None:
            self.note(test, "fail", "unexpected success")

    return Result()


def load(module: str, events: Events) -> dict[str, object] | None:
    """The tests of ``module`` by identifier; None, with an event that says why, if there are none to run."""
    import importlib
    import traceback
    import unittest

    loader = unittest.TestLoader()
    try:
        cases = flatten(loader.loadTestsFromModule(importlib.import_module(module)))
    except unittest.SkipTest as reason:
        events.write("fixture", id=f"import ({module})", outcome="skip", excerpt=str(reason))
        return None
    except BaseException:
        events.write("fixture", id=f"import ({module})", outcome="error", excerpt=traceback.format_exc()[-EXCERPT:])
        return None
    if loader.errors:
        events.write(
            "fixture", id=f"import ({module})", outcome="error", excerpt="\n".join(map(str, loader.errors))[-EXCERPT:]
        )
        return None
    return identify(cases)


def main() -> None:
    """Loads, lists and runs what the request names."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.argv[1:] = []
    sys.path[0] = str(Path.cwd())  # a folder of the referee's making, in place of the one with this file
    events = Events(request["events"])
    prepare(request["resources"])
    if request["path"]:
        sys.path.insert(1, request["path"])
    cases = load(request["module"], events)
    events.write("list", ids=list(cases or ()))
    if cases is not None and not request["list"]:
        import gc
        import unittest

        from test import support

        wanted = cases if request["only"] is None else {name: cases[name] for name in request["only"] if name in cases}
        native = NativeWork()
        result = make_result(events, {id(case): name for name, case in wanted.items()}, native)
        # The suite lets go of each case after it ran, as tests of references need; so must we.
        suite = unittest.TestSuite(wanted.values())  # type: ignore[arg-type]
        names = list(wanted)
        del wanted, cases
        suite.run(result)  # type: ignore[arg-type]
        del suite
        gc.collect()
        support.reap_children()
        events.write("done", tests=len(names))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
