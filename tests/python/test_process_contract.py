"""What programs rely on about the processes that they start, by each start method, on both backends."""

from __future__ import annotations

import pytest
from process_scripts import METHODS, run, values

__all__ = ["run"]  # a fixture


@pytest.mark.parametrize("method", METHODS)
def test_a_childs_end_is_told_by_sigchld_and_seen_by_waitid_before_join(run, method: str) -> None:
    if method == "forkserver" and run.backend == "stdlib":
        pytest.skip("a process that the standard library's forkserver starts is the server's child")
    done = run(
        """
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            told = []
            signal.signal(signal.SIGCHLD, lambda number, frame: told.append(number))
            process = context.Process(target=sys.exit, args=(7,))
            process.start()
            seen = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            report(seen.si_pid == process.pid, seen.si_code == os.CLD_EXITED, seen.si_status)
            process.join()
            report(process.exitcode, told != [])
            try: os.waitpid(process.pid, 0)
            except ChildProcessError: report("reaped")
        """,
        method,
    )
    assert values(done) == [[True, True, 7], [7, True], ["reaped"]]


@pytest.mark.parametrize("method", METHODS)
def test_terminate_kill_and_close(run, method: str) -> None:
    done = run(
        """
        def outcome(call):
            try: return call()
            except ValueError as error: return str(error)
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            for end in ("terminate", "kill"):
                process = context.Process(target=time.sleep, args=(60,))
                process.start()
                report(outcome(process.close))
                getattr(process, end)()
                process.join()
                report(process.exitcode, repr(process).count(f"exitcode=-"))
                getattr(process, end)()
                process.close()
                report([outcome(call) for call in (process.join, process.is_alive, process.kill)])
        """,
        method,
        spawned=2,
    )
    running = ["Cannot close a process while it is still running. You should first call join() or terminate()."]
    closed = [["process object is closed"] * 3]
    assert values(done) == [running, [-15, 1], closed, running, [-9, 1], closed]


@pytest.mark.parametrize("method", METHODS)
def test_a_started_process_starts_processes_of_its_own(run, method: str) -> None:
    done = run(
        """
        def inner(): report("inner", mp.parent_process().pid == os.getppid() or sys.argv[1] == "forkserver")
        def outer():
            process = mp.get_context(sys.argv[1]).Process(target=inner)
            process.start()
            process.join()
            report("outer", process.exitcode)
        if __name__ == "__main__":
            process = mp.get_context(sys.argv[1]).Process(target=outer)
            process.start()
            process.join()
            report(process.exitcode)
        """,
        method,
    )
    assert values(done) == [["inner", True], ["outer", 0], [0]]


@pytest.mark.parametrize("method", METHODS)
def test_descriptors_and_locks_that_are_arguments_reach_the_process(run, method: str) -> None:
    done = run(
        """
        def work(connection, lock, value, event):
            with lock: value.value += 1
            connection.send_bytes(b"here")
            event.set()
        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            ours, theirs = context.Pipe()
            lock, value, event = context.Lock(), context.Value("i", 41), context.Event()
            process = context.Process(target=work, args=(theirs, lock, value, event))
            process.start()
            theirs.close()
            report(ours.recv_bytes().decode(), event.wait(30), value.value)
            process.join()
            try: ours.recv_bytes()
            except EOFError: report("end")
        """,
        method,
    )
    assert values(done) == [["here", True, 42], ["end"]]
