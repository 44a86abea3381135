"""The zygote and its clones in reserve: what a script sees that they are killed, interrupted, forked or out of date."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from process_scripts import PRELUDE, run, values

__all__ = ["run"]  # a fixture


def _zygotes_of(group: int) -> list[str]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append((directory / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_nothing_is_left_when_the_parent_is_killed(tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        PRELUDE
        + textwrap.dedent(
            """
            if __name__ == "__main__":
                context = mp.get_context(sys.argv[1])
                while True:
                    process = context.Process(target=int)
                    process.start()
                    process.join()
                    report("started")
            """
        )
    )
    for starts in (1, 2, 4):
        program = subprocess.Popen(
            [sys.executable, str(script), method],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "TRIGA": "processes"},
        )
        with program:
            assert program.stdout is not None
            for _ in range(starts):
                assert program.stdout.readline()
            assert any("zygote" in command for command in _zygotes_of(program.pid))
            program.kill()
        # The last holders of the pipe, zygote and tracker, end by themselves: reading to its end waits for them.
        deadline = time.monotonic() + 30
        while (left := _zygotes_of(program.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_killed_zygote_is_replaced_and_its_processes_go_on(run, method: str) -> None:
    done = run(
        """
        def zygote():
            if sys.argv[1] == "forkserver":
                from multiprocessing.forkserver import _forkserver
                return _forkserver._forkserver_pid
            from triga._processes.spawn_zygote import zygote
            return zygote.pid
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            running = context.Process(target=time.sleep, args=(60,))
            running.start()
            if sys.argv[2] == "stdlib":
                sys.exit(running.kill())
            first = zygote()
            os.kill(first, signal.SIGKILL)
            codes = []
            for _ in range(4):  # the first ones may be served by clones that the killed one had left in reserve
                process = context.Process(target=sys.exit, args=(5,))
                process.start()
                process.join()
                codes.append(process.exitcode)
            report(codes, zygote() != first, running.is_alive())
            running.kill()
            running.join()
            report(running.exitcode)
        """,
        method,
        run.backend,
    )
    assert values(done) == ([] if run.backend == "stdlib" else [[[5, 5, 5, 5], True, True], [-9]])


def _reserve_script(killed: int) -> str:
    return f"""
        from multiprocessing import forkserver
        from triga._processes.spawn_zygote import zygote
        def reserve():
            if sys.argv[1] == "spawn":
                return zygote._running.reserve
            return forkserver._forkserver._triga_running.reserve
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            def start(code):
                process = context.Process(target=sys.exit, args=(code,))
                process.start()
                process.join()
                return process.exitcode
            report(start(5))
            waiting = reserve()
            while waiting._ordered:
                waiting._collect()
            pids = waiting.pids()
            report(len(pids), {{open(f"/proc/{{pid}}/stat").read().split()[3] for pid in pids}} == {{str(os.getpid())}})
            for pid in pids[:{killed}]:
                os.kill(pid, signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            report(start(6), start(7))
    """


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("killed", [0, 1, 2])
def test_a_clone_that_was_killed_in_reserve_is_passed_over(run, method: str, killed: int) -> None:
    if run.backend == "stdlib":
        pytest.skip("the standard library keeps nothing in reserve")
    assert values(run(_reserve_script(killed), method, spawned=3)) == [[5], [2, True], [6, 7]]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])  # a fork in a process with threads may hang by right
def test_many_threads_start_processes_at_once(run, method: str) -> None:
    if run.backend == "stdlib" and method == "forkserver":
        pytest.skip("the standard library's forkserver reports 255 for some of them")
    done = run(
        """
        import threading
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            gate, codes = threading.Barrier(6), []
            def starter(first):
                gate.wait()
                for code in range(first, first + 4):
                    process = context.Process(target=sys.exit, args=(code,))
                    process.start()
                    process.join()
                    codes.append(process.exitcode)
            threads = [threading.Thread(target=starter, args=(first,)) for first in range(0, 24, 4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            report(sorted(codes))
        """,
        method,
        spawned=24,
    )
    assert values(done) == [[list(range(24))]]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_interrupt_while_starting_leaves_a_program_that_can_start(run, method: str) -> None:
    if run.backend == "stdlib" and method == "forkserver":
        # On every version: its main() lets the EOFError of recvfds() out when the request stopped half way, and ends.
        pytest.skip("an interrupted handshake ends the standard library's forkserver")
    done = run(
        """
        import random
        armed = False
        def ring(number, frame):
            if armed:
                raise KeyboardInterrupt
        if __name__ == "__main__":
            context, moments = mp.get_context(sys.argv[1]), random.Random(5)
            # Once without: a module whose import is interrupted may be left half made, which is Python's own affair.
            process = context.Process(target=int)
            process.start()
            process.join()
            signal.signal(signal.SIGALRM, ring)
            for _ in range(15):
                process = context.Process(target=int)
                try:
                    try:
                        armed = True
                        signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.0001, 0.003))
                        process.start()
                        process.join()
                    finally:
                        armed = False
                        signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    pass
            process = context.Process(target=sys.exit, args=(5,))
            process.start()
            process.join()
            report(process.exitcode)
        """,
        method,
    )
    assert values(done) == [[5]]


def test_a_changed_main_module_is_run_as_it_is_now(run) -> None:
    done = run(
        """
        VALUE = 1
        def tell(): report(VALUE)
        def start():
            process = mp.get_context("spawn").Process(target=tell)
            process.start()
            process.join()
        if __name__ == "__main__":
            os.utime(__file__, (0, 0))  # long ago, so that the zygote keeps what it compiles
            start()
            text = open(__file__).read()
            with open(__file__, "w") as file: file.write(text.replace("VALUE = 1", "VALUE = 2", 1))
            os.utime(__file__, (0, 0))  # of the same size and time
            start()
        """,
        spawned=2,
    )
    assert values(done) == [[1], [2]]


def test_a_warning_of_the_main_modules_compilation_is_shown_by_each_process(run) -> None:
    done = run(
        """
        if __name__ == "__main__":
            os.utime(__file__, (0, 0))
            for _ in range(2):
                process = mp.get_context("spawn").Process(target=int)
                process.start()
                process.join()
        assert 1 is 1
        """,
        spawned=2,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("SyntaxWarning") == 3


def test_the_main_modules_code_is_compiled_once(tmp_path: Path) -> None:
    script = tmp_path / "kept.py"
    script.write_text("value = 1\n")
    probe = (
        "import pkgutil, runpy, os, sys; from triga._processes.main_code import keep, offer\n"
        "import builtins; path, compile_, hooks = sys.argv[1], compile, sys.path_hooks[:]\n"
        "stock = runpy._get_code_from_file\n"
        "keep(path); offer(); assert runpy._get_code_from_file is stock, 'written just now'\n"
        "os.utime(path, (0, 0)); keep(path); builtins.compile = None; offer(); sys.path_hooks.clear()\n"
        "assert runpy.run_path(path)['value'] == 1; assert runpy._get_code_from_file is stock\n"
        "assert path not in sys.path_importer_cache; builtins.compile, sys.path_hooks[:] = compile_, hooks\n"
        "open(path, 'w').write('value = 2'); offer(); assert runpy._get_code_from_file is stock\n"
        "assert runpy.run_path(path)['value'] == 2\n"
    )
    done = subprocess.run([sys.executable, "-c", probe, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_fork_of_the_program_has_a_zygote_of_its_own(run, method: str) -> None:
    done = (
        run(
            """
        def parent(connection): connection.send(os.getppid())
        def started_by(context):
            ours, theirs = context.Pipe()
            process = context.Process(target=parent, args=(theirs,))
            process.start()
            process.join()
            return ours.recv(), process.exitcode
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            report(started_by(context) == (os.getpid(), 0))
            if os.fork() == 0:
                report(started_by(context) == (os.getpid(), 0))
                os._exit(0)
            os.wait()
            report(started_by(context) == (os.getpid(), 0))
        """,
            method,
        )
        if run.backend == "triga"
        else None
    )
    assert done is None or values(done) == [[True]] * 3


@pytest.mark.parametrize("variable", ["PYTHONPERFSUPPORT", "PYTHON_PERF_JIT_SUPPORT"])
def test_interpreters_that_write_maps_for_perf_are_not_cloned(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a clone the map's descriptor was closed for one that the program handed down under its number, such as the
    # resource tracker's pipe, and the interpreter wrote the map's next lines there.
    from triga._processes.launcher import why_not_here

    monkeypatch.delenv(variable, raising=False)
    assert why_not_here() is None
    for off in ("", "0"):
        monkeypatch.setenv(variable, off)
        assert why_not_here() is None
    monkeypatch.setenv(variable, "1")
    assert "perf" in (why_not_here() or "")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("policy", ["SCHED_OTHER", "SCHED_BATCH"])
def test_a_process_has_the_scheduling_policy_that_its_parent_had(run, method: str, policy: str) -> None:
    # Clones are made in the background, where they have another one.
    done = run(
        """
        def tell():
            report(os.sched_getscheduler(0) == getattr(os, sys.argv[2]))
        if __name__ == "__main__":
            os.sched_setscheduler(0, getattr(os, sys.argv[2]), os.sched_param(0))
            for _ in range(4):
                process = mp.get_context(sys.argv[1]).Process(target=tell)
                process.start()
                process.join()
        """,
        method,
        policy,
        spawned=4,
    )
    assert values(done) == [[True]] * 4


def test_clones_in_reserve_own_the_pages_that_the_first_process_wrote_to(run) -> None:
    if run.backend == "stdlib":
        pytest.skip("the standard library keeps nothing in reserve")
    done = run(
        """
        def own_memory():  # bytes: of that child which has most, of clones that wait, zygote and tracker
            most = 0
            for task in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{task}/children") as file:
                    children = file.read().split()
                for pid in children:
                    from triga._processes.spawn_zygote import zygote
                    if int(pid) not in (zygote.pid, resource_tracker._resource_tracker._pid):
                        with open(f"/proc/{pid}/smaps_rollup") as file:
                            lines = [line.split() for line in file]
                        most = max(most, *(int(line[1]) for line in lines if line[0] == "Private_Dirty:"))
            return most * 1024
        def run_one():
            process = mp.get_context("spawn").Process(target=time.sleep, args=(0,))
            process.start()
            process.join()
        if __name__ == "__main__":
            from multiprocessing import resource_tracker
            run_one()
            known_nothing = own_memory()
            for _ in range(4):
                run_one()
            deadline = time.monotonic() + 30
            while own_memory() < known_nothing + 300_000 and time.monotonic() < deadline:
                time.sleep(0.01)
            report(own_memory() - known_nothing)
        """,
        spawned=5,
    )
    [[more]] = values(done)
    assert more >= 300_000  # bytes
