"""A program is killed by SIGKILL at random moments while it starts processes: nothing of it is left afterwards.

The moments come from a seed and lie anywhere in the life of a program: in the start of its zygote, of a process, of a
pool, in a task, in an end. ``make stress`` (TRIGA_KILLS=100) kills a hundred and holds the two seconds within which all
has to be gone; by default there are fewer, and a busy machine may take longer.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = int(os.environ.get("TRIGA_KILLS", "12"))
LIMIT = 2.0 if "TRIGA_KILLS" in os.environ else 30.0
SEED = int(os.environ.get("TRIGA_SEED", "20261126"))
AT_ONCE = 3

PROGRAM = """\
import multiprocessing as mp, sys
def work(number):
    return number + 1
if __name__ == "__main__":
    print(flush=True)
    method, what, mark = sys.argv[1:]
    mp.current_process()._config["semprefix"] = "/" + mark  # what names its semaphores, and those of its children
    context = mp.get_context(method)
    while True:
        if what == "process":
            process = context.Process(target=work, args=(1,))
            process.start()
            process.join()
        else:
            with context.Pool(2) as pool:
                assert pool.map(work, range(4)) == [1, 2, 3, 4]
"""


def _processes_of(sessions: set[int]) -> list[str]:
    """The processes of these sessions, zombies left out: each program is started as the leader of one."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) in sessions and fields[0] != "Z":
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(f"{directory.name}: {command}")
        except OSError:
            continue
    return found


def _start(script: Path, temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
        env={**os.environ, "TRIGA": "processes", "TMPDIR": str(temporary)},
    )


def _wait_until_gone(sessions: set[int], limit: float) -> list[str]:
    deadline = time.monotonic() + limit
    while (left := _processes_of(sessions)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


@pytest.mark.parametrize("what", ["process", "pool"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_nothing_is_left_of_a_program_that_was_killed(tmp_path: Path, method: str, what: str) -> None:
    script, temporary = tmp_path / "script.py", tmp_path / "temporary"
    script.write_text(PROGRAM)
    temporary.mkdir()
    moments = random.Random(f"{SEED} {method} {what}")
    mark = f"killed{os.getpid()}-{method}-{what}"
    kills = -(-KILLS // 6)
    while kills > 0:
        programs = [_start(script, temporary, method, what, mark) for _ in range(min(AT_ONCE, kills))]
        kills -= len(programs)
        sessions = {program.pid for program in programs}
        try:
            for program in programs:
                with program:
                    assert program.stdout is not None
                    assert program.stdout.readline()
                    time.sleep(moments.uniform(0, 0.25))
                    program.kill()
            left = _wait_until_gone(sessions, LIMIT)
            assert left == []
        finally:
            for session in sessions:
                if _processes_of({session}):
                    os.killpg(session, signal.SIGKILL)
    assert [str(path) for path in temporary.rglob("*")] == []
    # Only what is named by the programs or by the core: other programs use this directory at the same time.
    shared = [each.name for each in Path("/dev/shm").iterdir()]
    assert [name for name in shared if mark in name or "triga" in name] == []
