"""Runs a module's tests in worker processes, one after the other, past every hang and crash.

A worker appends events to a file (worker.py). The referee reads it, and if a test has been running for longer than its
limit, ends the worker and everything it started, marks that test, and goes on from the next one in a new worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.interpreter import Interpreter, clean_environment
from tests.conformance.outcome import CRASH, HANG, SKIP, ModuleRun, Outcome

WORKER = Path(__file__).with_name("worker.py")
MARK = "TRIGA_CONFORMANCE_RUN"  # in the environment of a worker and of all that it starts
POLL = 0.02
LOADING_LIMIT = 120.0
EXIT_LIMIT = 60.0
LOOK_AGAIN_LIMIT = 2.0  # for what a worker left running: all of it is found at once, or a moment later

stopping = threading.Event()  # set when the referee is told to end: every worker is ended, and no new one started


class Stopped(Exception):
    """The referee was told to end."""


@dataclass(frozen=True)
class Arm:
    """One of the two sides that are compared: an interpreter with TRIGA set, or without."""

    interpreter: Interpreter
    triga: bool
    resources: Sequence[str]
    logs: Path
    path: Path | None = None  # where modules beside the interpreter's own are

    @property
    def name(self) -> str:
        """``triga`` or ``unpatched``."""
        return "triga" if self.triga else "unpatched"


def _start_time(process: Path) -> int:
    """When a process of /proc started, in the kernel's clock ticks."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[19])


def _end_marked(mark: bytes, since: int) -> bool:
    """Ends every process with MARK in its environment and waits for its end. Returns whether to look again.

    That is after any was ended, which may have started another, and while a process that started at SINCE or later
    shows no environment: in the middle of its exec the kernel has taken the old one away and not yet put the new one.
    """
    again = False
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            environment = (entry / "environ").read_bytes()
            if mark in environment.split(b"\0"):
                again = True
                _end(pid)
            elif not environment and _start_time(entry) >= since:
                (entry / "exe").readlink()  # fails for a zombie and a kernel thread
                again = True
    return again


def _end(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        ended.poll(LOOK_AGAIN_LIMIT * 1000)
    finally:
        os.close(descriptor)


class Worker:
    """A worker process with a folder of its own, and the events it has written so far."""

    def __init__(self, arm: Arm, module: str, only: Sequence[str] | None, listing: bool) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="conf-"))  # short: tests bind Unix sockets below it
        self._events = self.home / "events"
        self._offset = 0
        cwd = self.home / "cwd"
        cwd.mkdir()
        request: dict[str, Any] = {"module": module, "events": str(self._events), "resources": list(arm.resources)}
        request |= {"only": only, "list": listing, "path": str(arm.path or "")}
        (self.home / "request").write_text(json.dumps(request))
        environment = clean_environment() | {"TMPDIR": str(cwd), MARK: str(self.home)}
        if arm.triga:
            environment |= {"TRIGA": "1", "TRIGA_STATS": str(self.home / "stats")}
        log = arm.logs / arm.name / f"{module}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [arm.interpreter.executable, str(WORKER), str(self.home / "request")],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self._started = _start_time(Path("/proc", str(self.process.pid)))

    def events(self) -> Iterator[dict[str, Any]]:
        """The events written since the last call."""
        try:
            with self._events.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            yield json.loads(line)

    def kill(self) -> None:
        """Ends a worker that hangs: first by SIGABRT, so that faulthandler writes every thread's stack to the log."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Ends whatever the worker left running, known by the mark in its environment, and removes its folder."""
        self.kill()
        mark = f"{MARK}={self.home}".encode()
        deadline = time.monotonic() + LOOK_AGAIN_LIMIT
        while _end_marked(mark, self._started) and time.monotonic() < deadline:
            time.sleep(0.001)
        shutil.rmtree(self.home, ignore_errors=True)


class _Reader:
    """Turns a worker's events into outcomes and knows which test is running, and since when."""

    def __init__(self, run: ModuleRun, ended: Callable[[str, Outcome], None]) -> None:
        self.run = run
        self.running: str | None = None
        self.since = time.monotonic()
        self.listed = self.done = False
        self.reached: set[str] = set()
        self.fixtures: list[tuple[str, Outcome]] = []
        self._ended = ended

    def take(self, event: dict[str, Any]) -> None:
        """One event."""
        self.since = time.monotonic()
        match event.pop("event"):
            case "list":
                self.listed = True
                self.run.listed = self.run.listed or event["ids"]
            case "start":
                self.running = event["id"]
                self.reached.add(event["id"])
            case "end":
                self.finish(event.pop("id"), Outcome(**event))
            case "fixture":
                self.fixtures.append((event["id"], Outcome(event["outcome"], excerpt=event["excerpt"])))
            case "done":
                self.done = True

    def finish(self, test: str, outcome: Outcome) -> None:
        """A test has ended, by itself or because its worker did."""
        self.running = None
        self.run.outcomes[test] = outcome
        self._ended(test, outcome)


def list_tests(arm: Arm, module: str) -> ModuleRun:
    """The identifiers of a module's tests, without running them."""
    return _run(arm, module, [], lambda test: 0.0, lambda test, outcome: None, listing=True)


def run_tests(
    arm: Arm,
    module: str,
    only: Sequence[str],
    limit: Callable[[str], float],
    ended: Callable[[str, Outcome], None],
) -> ModuleRun:
    """Runs the tests of ``only`` in their order; ``limit`` gives the seconds that each may take.

    Beside the tests, the result may hold outcomes of ``setUpClass (...)`` and the like that failed, and of
    ``exit (module)`` if the process did not end by itself with status 0 after its last test.
    """
    return _run(arm, module, list(only), limit, ended, listing=False)


def _run(
    arm: Arm,
    module: str,
    remaining: list[str],
    limit: Callable[[str], float],
    ended: Callable[[str, Outcome], None],
    *,
    listing: bool,
) -> ModuleRun:
    run = ModuleRun()
    while True:
        if stopping.is_set():
            raise Stopped
        reader = _Reader(run, ended)
        worker = Worker(arm, module, remaining, listing)
        try:
            ending = _watch(worker, reader, limit)
        finally:
            worker.close()
        for name, outcome in reader.fixtures:
            _spread(run, name, outcome, remaining, reader)
        if ending is None:
            return run
        if reader.running is None:
            run.outcomes[f"{'exit' if reader.done else 'between tests'} ({module})"] = ending
            if reader.done or not reader.reached:
                return run
        else:
            reader.finish(reader.running, ending)
        last = max((remaining.index(test) for test in reader.reached if test in remaining), default=len(remaining))
        remaining = remaining[last + 1 :]
        if not remaining:
            return run


def _watch(worker: Worker, reader: _Reader, limit: Callable[[str], float]) -> Outcome | None:
    """Follows a worker to its end; None if all went well, else what became of the test that was running."""
    while not stopping.is_set():
        status = worker.process.poll()
        for event in worker.events():
            reader.take(event)
        if status is not None:
            return None if status == 0 and reader.running is None else _died(status)
        spent = time.monotonic() - reader.since
        if spent > _allowed(reader, limit):
            worker.kill()
            return Outcome(HANG, seconds=round(spent, 1), excerpt=f"no end after {spent:.0f} s; stacks are in the log")
        time.sleep(POLL)
    raise Stopped


def _allowed(reader: _Reader, limit: Callable[[str], float]) -> float:
    if reader.running is not None:
        return limit(reader.running)
    return EXIT_LIMIT if reader.done else LOADING_LIMIT


def _died(status: int) -> Outcome:
    if status < 0:
        return Outcome(CRASH, excerpt=f"the process died of {signal.Signals(-status).name}; see the log")
    return Outcome(CRASH, excerpt=f"the process ended with exit status {status}; see the log")


def _spread(run: ModuleRun, name: str, outcome: Outcome, remaining: Sequence[str], reader: _Reader) -> None:
    """Gives the outcome of ``setUpClass (test.x.Class)`` to the tests it kept from running, and keeps a failed one."""
    owner = name.partition("(")[2].rstrip(")")
    if name.startswith("setUp"):
        for test in remaining:
            if test not in run.outcomes and test.startswith(owner + "."):
                reader.finish(test, Outcome(outcome.outcome, excerpt=f"{name}: {outcome.excerpt}"))
    if outcome.outcome != SKIP:
        run.outcomes[name] = outcome
