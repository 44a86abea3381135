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
    for module in sys.argv[2:]:
        import triga
        triga.install(preload=[module])
    process = mp.get_context(sys.argv[1]).Process(target=nothing)
    process.start()
    process.join()
    segment = SharedMemory(create=True, size=8)
    print(resource_tracker._resource_tracker._pid, segment.name, process.exitcode, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), 9)
"""


class Program:
    """The program at its standstill, and what it said."""

    def __init__(self, folder: Path, backend: str, method: str, *arguments: str) -> None:
        script = folder / "script.py"
        script.write_text(PROGRAM)
        environment = {**os.environ, "TRIGA": "processes" if backend == "triga" else "0"}
        self.process = subprocess.Popen(
            [sys.executable, str(script), method, *arguments],
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


@pytest.fixture(params=["spawn", "forkserver"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_tracker_is_a_child_of_the_program_and_cleans_up_after_it_was_killed(
    tmp_path: Path, backend: str, method: str
) -> None:
    program = Program(tmp_path, backend, method)
    assert int(program.status("PPid")) == program.process.pid
    assert program.segment.exists()
    errors = program.end()
    assert not program.segment.exists()
    assert "1 leaked shared_memory objects" in errors


def test_the_tracker_ignores_what_ends_programs(tmp_path: Path, backend: str, method: str) -> None:
    program = Program(tmp_path, backend, method)
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
    program = Program(tmp_path, "triga", "spawn", *arguments)
    command = Path(f"/proc/{program.tracker}/cmdline").read_text()
    program.end()
    assert ("triga._processes.zygote" in command) == cloned
    assert ("multiprocessing.resource_tracker" in command) != cloned


def test_a_forkserver_makes_the_tracker_before_it_imports_anything_of_the_users(tmp_path: Path) -> None:
    # Memory that a module of the user's holds would live as long as the tracker, and so would what else it does.
    (tmp_path / "large.py").write_text("import mmap\nheld = mmap.mmap(-1, 1 << 30)\n")
    script = tmp_path / "script.py"
    script.write_text(
        """if True:
        import multiprocessing as mp, sys
        from multiprocessing import resource_tracker
        def holds(): sys.exit("large" in sys.modules and 7)
        if __name__ == "__main__":
            mp.set_forkserver_preload(["large"])
            process = mp.get_context("forkserver").Process(target=holds)
            process.start()
            process.join()
            status = open(f"/proc/{resource_tracker._resource_tracker._pid}/status").read()
            size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize:"))
            print(process.exitcode, size < 1 << 20)
        """
    )
    environment = {**os.environ, "TRIGA": "processes", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, done.stderr) == ("7 True\n", "")


def test_without_a_forkserver_that_made_it_there_is_a_tracker_all_the_same(tmp_path: Path) -> None:
    # Killed at once, most likely before it could make the tracker; and stopped, which leaves no tracker behind.
    script = tmp_path / "script.py"
    script.write_text(
        """if True:
        import multiprocessing as mp, os
        from multiprocessing import forkserver, resource_tracker
        def nothing(): pass
        if __name__ == "__main__":
            server, tracker = forkserver._forkserver, resource_tracker._resource_tracker
            server.ensure_running()
            server._stop()
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                print("no child is left,", tracker._fd)
            server.ensure_running()
            os.kill(server._forkserver_pid, 9)
            process = mp.get_context("forkserver").Process(target=nothing)
            process.start()
            process.join()
            print(process.exitcode, tracker._fd is not None)
        """
    )
    environment = {**os.environ, "TRIGA": "processes"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, done.stderr) == ("no child is left, None\n0 True\n", "")


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


@pytest.mark.parametrize(
    ("method", "module", "pid"),
    [
        ("spawn", "triga._processes.spawn_zygote", "zygote.pid"),
        ("forkserver", "multiprocessing.forkserver", "_forkserver._forkserver_pid"),
    ],
)
def test_a_pool_has_its_zygote_started_before_it_is_made(tmp_path: Path, method: str, module: str, pid: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""if True:
        import multiprocessing as mp, sys
        if __name__ == "__main__":
            from {module} import {pid.partition(".")[0]}
            context = mp.get_context("{method}")
            try:
                context.Pool(0)
            except ValueError as error:
                print({pid} is not None, error)
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
