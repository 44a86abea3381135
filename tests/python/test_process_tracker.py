"""The resource tracker that spawned processes bring with them: the same program in a process made in another way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Starts a process, tells the tracker's pid, and stands still with a segment that nobody unlinks.
PROGRAM = """\
import multiprocessing as mp, os, sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
def nothing(): pass
if __name__ == "__main__":
    for module in sys.argv[1:]:
        import triga
        triga.install(preload=[module])
    process = mp.get_context("spawn").Process(target=nothing)
    process.start()
    process.join()
    segment = SharedMemory(create=True, size=8)
    print(resource_tracker._resource_tracker._pid, segment.name, process.exitcode, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), 9)
"""


class Program:
    """The program at its standstill, and what it said."""

    def __init__(self, folder: Path, backend: str, *arguments: str) -> None:
        script = folder / "script.py"
        script.write_text(PROGRAM)
        environment = {**os.environ, "TRIGA": "processes" if backend == "triga" else "0"}
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        tracker, name, exitcode = self.process.stdout.readline().split()
        assert exitcode == "0"
        self.tracker = int(tracker)
        self.segment = Path("/dev/shm") / name

    def status(self, field: str) -> str:
        """A line of the tracker's /proc/PID/status."""
        text = Path(f"/proc/{self.tracker}/status").read_text()
        return next(line.split()[1] for line in text.splitlines() if line.startswith(field + ":"))

    def end(self) -> str:
        """Has the program kill itself; returns what stood on standard error once all that wrote to it has ended."""
        return self.process.communicate("", timeout=60)[1]


@pytest.fixture(params=["stdlib", "triga"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_tracker_is_a_child_of_the_program_and_cleans_up_after_it_was_killed(tmp_path: Path, backend: str) -> None:
    program = Program(tmp_path, backend)
    assert int(program.status("PPid")) == program.process.pid
    assert program.segment.exists()
    errors = program.end()
    assert not program.segment.exists()
    assert "1 leaked shared_memory objects" in errors


def test_the_tracker_ignores_what_ends_programs(tmp_path: Path, backend: str) -> None:
    program = Program(tmp_path, backend)
    both = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
    while int(program.status("SigIgn"), 16) & both != both:  # it has yet to begin
        time.sleep(0.001)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(program.tracker, number)
    program.end()
    assert not program.segment.exists()


@pytest.mark.parametrize(("arguments", "cloned"), [((), True), (("json",), False)])
def test_the_tracker_is_a_clone_of_the_zygote_unless_that_has_modules_of_the_users(
    tmp_path: Path, arguments: tuple[str, ...], cloned: bool
) -> None:
    program = Program(tmp_path, "triga", *arguments)
    command = Path(f"/proc/{program.tracker}/cmdline").read_text()
    program.end()
    assert ("triga._processes.zygote" in command) == cloned
    assert ("multiprocessing.resource_tracker" in command) != cloned


def test_a_zygote_imports_nothing_that_takes_long_and_that_nobody_asked_for(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing as mp, sys\n"
        "def tell(*_): print(*{'pathlib', 'logging', 'multiprocessing.connection'} & {*sys.modules})\n"
        "if __name__ == '__main__':\n"
        "    mp.get_context('spawn').Pool(1, initializer=tell).map(abs, [1])\n"
    )
    environment = {**os.environ, "TRIGA": "processes"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_pool_has_its_zygote_started_before_it_is_made(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """if True:
        import multiprocessing as mp, sys
        if __name__ == "__main__":
            from triga._processes.spawn_zygote import zygote
            context = mp.get_context("spawn")
            try:
                context.Pool(0)
            except ValueError as error:
                print(zygote.pid is not None, error)
            with context.Pool(1) as pool:
                print(pool.apply(abs, (-3,)))
        """
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TRIGA": "processes"},
    )
    assert (done.stdout, done.stderr) == ("True Number of processes must be at least 1\n3\n", "")


KILLED_TRACKER = """\
import multiprocessing as mp, os, signal, sys, warnings
from multiprocessing import resource_tracker
def nothing(): pass
if __name__ == "__main__":
    warnings.simplefilter("always")
    for turn in range(2):
        process = mp.get_context(sys.argv[1]).Process(target=nothing)
        process.start()
        process.join()
        tracker = resource_tracker._resource_tracker
        print(process.exitcode, tracker._fd is not None, flush=True)
        pid = tracker._pid
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_start_after_the_trackers_death_starts_another_one_and_says_so(
    tmp_path: Path, backend: str, method: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(KILLED_TRACKER)
    environment = {**os.environ, "TRIGA": "processes" if backend == "triga" else "0"}
    done = subprocess.run(
        [sys.executable, str(script), method], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.stdout.splitlines() == ["0 True", "0 True"], done.stderr
    assert done.stderr.count("process died unexpectedly, relaunching") == 1
