"""multiprocessing.Process on the C++ core: each script runs on the standard library and on triga, and must do the same.

Every case is a script of its own, run by a fresh interpreter with a time limit: starting, forking, signals and exits
concern the whole process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from process_scripts import METHODS, run, values

__all__ = ["run"]  # a fixture


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
