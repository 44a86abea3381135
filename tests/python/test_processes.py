"""multiprocessing.Process on the C++ core: each script runs on the standard library and on triga, and must do the same.

Every case is a script of its own, run by a fresh interpreter with a time limit: starting, forking, signals and exits
concern the whole process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

METHODS = ["fork", "spawn", "forkserver"]
PRELUDE = """\
import multiprocessing as mp, os, signal, sys, time
def report(*values):
    import json
    print(json.dumps(values), flush=True)
"""


@pytest.fixture(params=["stdlib", "triga"])
def run(request: pytest.FixtureRequest, tmp_path: Path):
    """A function that runs a script's text with arguments, and returns the finished process."""
    counters = tmp_path / "counters"

    def run_script(text: str, *arguments: str, spawned: int | None = 1) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(PRELUDE + textwrap.dedent(text))
        environment = {**os.environ, "TRIGA": "processes" if request.param == "triga" else "0"}
        environment["TRIGA_STATS"] = str(counters)
        done = subprocess.run(
            [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60, env=environment
        )
        if request.param == "triga" and spawned is not None:
            lines = [json.loads(line) for line in counters.read_text().splitlines()]
            assert max(line["processes_spawned"] for line in lines) >= spawned, "the C++ core started nothing"
        return done

    run_script.backend = request.param  # type: ignore[attr-defined]
    return run_script


def values(done: subprocess.CompletedProcess[str]) -> list[object]:
    """What the script reported, line by line; fails with its standard error if it failed."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("method", METHODS)
def test_exit_codes_are_the_exit_status_or_minus_the_signal(run, method: str) -> None:
    done = run(
        """
        def leave(how):
            if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
            if how == "segv": os.kill(os.getpid(), signal.SIGSEGV)
            if how == "raise": raise ValueError("as asked")
            if how == "_exit": os._exit(9)
            sys.exit(how)
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            for how in (None, 3, "a message", "raise", "_exit", "kill", "segv"):
                process = context.Process(target=leave, args=(how,))
                process.start()
                process.join()
                report(process.exitcode, process.is_alive())
        """,
        method,
        spawned=7,
    )
    assert values(done) == [[code, False] for code in (0, 3, 1, 1, 9, -9, -11)]
    assert "ValueError: as asked" in done.stderr
    assert "a message" in done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_the_sentinel_can_be_selected_and_join_has_a_timeout(run, method: str) -> None:
    done = run(
        """
        import select
        from multiprocessing.connection import wait
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            process = context.Process(target=time.sleep, args=(60,))
            process.start()
            report(select.select([process.sentinel], [], [], 0)[0], wait([process.sentinel], 0.01))
            process.join(0.01)
            process.join(-1)
            report(process.exitcode, process.is_alive())
            process.terminate()
            report(wait([process.sentinel], 30) == [process.sentinel])
            process.join()
            report(process.exitcode)
            process.close()
        """,
        method,
    )
    assert values(done) == [[[], []], [None, True], [True], [-15]]


@pytest.mark.parametrize("method", METHODS)
def test_a_child_is_a_real_child_with_an_identity_of_its_own(run, method: str) -> None:
    done = run(
        """
        def tell(connection):
            me, parent = mp.current_process(), mp.parent_process()
            connection.send((os.getpid(), os.getppid(), me.name, me.daemon, bytes(me.authkey), parent.pid, parent.name,
                             parent.is_alive(), me.pid))
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            ours, theirs = context.Pipe()
            process = context.Process(target=tell, args=(theirs,), name="Somebody", daemon=True)
            process.start()
            told = ours.recv()
            report(told[0] == process.pid == told[8], told[2:4], told[4] == bytes(mp.current_process().authkey))
            report(told[5] == os.getpid(), told[6:8])
            report(told[1] == os.getpid())
            process.join()
        """,
        method,
    )
    got = values(done)
    assert got[0] == [True, ["Somebody", True], True]
    assert got[1] == [True, ["MainProcess", True]]
    # The standard library's forkserver is a child's parent; triga's starts children of the caller.
    assert got[2] == [method != "forkserver" or run.backend == "triga"]


@pytest.mark.parametrize("method", METHODS)
def test_no_descriptor_is_left_behind(run, method: str) -> None:
    done = run(
        """
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            def once():
                process = context.Process(target=int)
                process.start()
                process.join()
                process.close()
                return len(os.listdir("/proc/self/fd"))
            first = once()
            report([once() - first for _ in range(5)])
        """,
        method,
        spawned=6,
    )
    assert values(done) == [[[0] * 5]]


@pytest.mark.parametrize("method", METHODS)
def test_a_signal_handler_runs_while_join_waits_and_may_raise(run, method: str) -> None:
    done = run(
        """
        class Rung(Exception): pass
        def handler(number, frame):
            global calls
            calls += 1
            if calls == 2: raise Rung
        if __name__ == "__main__":
            calls = 0
            context = mp.get_context(sys.argv[1])
            process = context.Process(target=time.sleep, args=(60,))
            process.start()
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            try:
                process.join()
            except Rung:
                signal.setitimer(signal.ITIMER_REAL, 0)
                report(calls, process.is_alive())
            process.kill()
            process.join()
            report(process.exitcode)
        """,
        method,
    )
    assert values(done) == [[2, True], [-9]]


def test_atexit_handlers_and_finalizers_of_a_child_are_as_in_the_standard_library(run) -> None:
    done = run(
        """
        import atexit
        from multiprocessing import util
        def work():
            atexit.register(report, "atexit in the child")
            util.Finalize(None, report, ("finalizer in the child",), exitpriority=1)
        if __name__ == "__main__":
            atexit.register(report, "atexit in the parent")
            context = mp.get_context("fork")
            process = context.Process(target=work)
            process.start()
            process.join()
        """
    )
    expected = ["finalizer in the child", "atexit in the parent"]
    if sys.version_info >= (3, 13):
        expected.insert(0, "atexit in the child")
    assert sorted(values(done)) == sorted([each] for each in expected)


def test_a_fork_in_a_process_with_threads_warns_as_the_standard_library_does(run) -> None:
    done = run(
        """
        import threading, warnings
        if __name__ == "__main__":
            over = threading.Event()
            threading.Thread(target=over.wait).start()
            warnings.simplefilter("always")
            process = mp.get_context("fork").Process(target=int)
            process.start()
            process.join()
            over.set()
            report(process.exitcode)
        """
    )
    assert values(done) == [[0]]
    assert ("multi-threaded" in done.stderr) == (sys.version_info >= (3, 12))


def test_a_spawned_process_shows_the_import_of_the_main_module_once(run) -> None:
    done = run(
        """
        report("imported as", __name__)
        def work(): report("work")
        if __name__ == "__main__":
            for _ in range(2):
                process = mp.get_context("spawn").Process(target=work)
                process.start()
                process.join()
        """,
        spawned=2,
    )
    assert values(done) == [["imported as", "__main__"]] + [["imported as", "__mp_main__"], ["work"]] * 2


def test_a_spawned_process_has_what_an_exec_would_have_passed_on(run) -> None:
    done = run(
        """
        def tell():
            report(os.environ.get("LATER"), os.getcwd(), sys.argv[1:], oct(os.umask(0)),
                   signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN,
                   signal.getsignal(signal.SIGINT) == signal.default_int_handler,
                   sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
        def start():
            process = mp.get_context("spawn").Process(target=tell)
            process.start()
            process.join()
        if __name__ == "__main__":
            start()
            os.environ["LATER"] = "yes"
            os.chdir("/usr")
            sys.argv.append("more")
            os.umask(0o027)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            start()
        """,
        "first",
        spawned=2,
    )
    before, after = values(done)
    assert before[2:3] + before[4:] == [["first"], False, True, []]
    assert after == ["yes", "/usr", ["first", "more"], "0o27", True, True, [12]]


def test_a_spawned_process_closes_files_and_runs_finalizers_at_its_end(run, tmp_path: Path) -> None:
    done = run(
        """
        import atexit
        class Last:
            # By what it holds itself: from 3.14 on, the streams of sys are gone when the last modules are cleared.
            def __del__(self, write=os.write): write(1, b"deleted\\n")
        def work(path):
            global file, last
            file, last = open(path, "w"), Last()
            file.write("not flushed")
            atexit.register(print, "atexit", flush=True)
        if __name__ == "__main__":
            process = mp.get_context("spawn").Process(target=work, args=(sys.argv[1],))
            process.start()
            process.join()
        """,
        str(tmp_path / "out"),
    )
    assert (done.returncode, done.stdout) == (0, "atexit\ndeleted\n"), done.stderr
    assert (tmp_path / "out").read_text() == "not flushed"


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
