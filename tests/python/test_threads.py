"""threading.Thread on cached OS threads."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

import triga


def run_program(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with the threads part active."""
    return subprocess.run(
        [sys.executable, *options, "-c", text],
        capture_output=True,
        text=True,
        env={**os.environ, "TRIGA": "threads"},
        timeout=60,
    )


def started_and_reused() -> tuple[int, int]:
    stats = triga.stats()
    return stats["threads_started"], stats["threads_reused"]


def test_a_thread_reuses_the_os_thread_of_one_that_is_gone() -> None:
    with triga.installed():
        threading.Thread(target=int).start()
        before = sum(started_and_reused())
        for _ in range(20):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
        started, reused = started_and_reused()
    assert started + reused == before + 20
    assert reused >= 15


def test_threads_that_can_be_compared_have_different_native_ids(backend: str) -> None:
    threads = []
    for _ in range(10):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        threads.append(thread)
    assert len({thread.native_id for thread in threads}) == 10


def test_thread_locals_do_not_outlive_their_thread(backend: str) -> None:
    local = threading.local()
    seen = []

    def use() -> None:
        seen.append(hasattr(local, "value"))
        local.value = 1

    for _ in range(5):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert seen == [False] * 5


def test_a_thread_inherits_its_creators_signal_mask(backend: str) -> None:
    masks = []
    threading.Thread(target=int).start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        thread = threading.Thread(target=lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        thread.start()
        thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert masks == [before | {signal.SIGUSR2}]


def stack_size_here() -> int:
    library = ctypes.CDLL(None)
    library.pthread_self.restype = ctypes.c_ulong
    attributes, size = ctypes.create_string_buffer(64), ctypes.c_size_t()
    assert library.pthread_getattr_np(ctypes.c_ulong(library.pthread_self()), attributes) == 0
    assert library.pthread_attr_getstacksize(attributes, ctypes.byref(size)) == 0
    library.pthread_attr_destroy(attributes)
    return size.value


def test_a_thread_has_the_stack_size_that_was_asked_for(backend: str) -> None:
    sizes = []
    for asked in (0, 512 * 1024, 0, 512 * 1024):
        before = threading.stack_size(asked)
        try:
            thread = threading.Thread(target=lambda: sizes.append(stack_size_here()))
            thread.start()
            thread.join()
        finally:
            threading.stack_size(before)
    assert sizes[1] == sizes[3] == 512 * 1024
    assert sizes[0] == sizes[2] > 512 * 1024


@pytest.mark.skipif(sys.version_info < (3, 12), reason="since 3.12")
def test_tracing_reaches_threads_that_run(backend: str) -> None:
    begun, gate, seen = threading.Event(), threading.Event(), []

    def called() -> None: ...

    def body() -> None:
        begun.set()
        gate.wait()
        called()

    def trace(frame: types.FrameType, event: str, _argument: object) -> None:
        if frame.f_code is called.__code__:
            seen.append((threading.current_thread(), event))

    thread = threading.Thread(target=body)
    thread.start()
    assert begun.wait(30)
    before = sys.gettrace()
    threading.settrace_all_threads(trace)  # type: ignore[attr-defined]
    try:
        gate.set()
        thread.join()
    finally:
        threading.settrace_all_threads(before)  # type: ignore[attr-defined]
    assert seen == [(thread, "call")]


def test_join_has_a_timeout_and_a_thread_is_started_once(backend: str) -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    thread.join(0.01)
    assert thread.is_alive()
    go.set()
    thread.join()
    assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()


def test_threads_made_before_and_after_installing_go_on() -> None:
    made_before = threading.Thread(target=int)
    with triga.installed():
        made_before.start()
        made_within = threading.Thread(target=int)
        made_before.join()
    made_within.start()
    made_within.join()
    assert not made_within.is_alive()


def test_exit_waits_for_threads_but_not_for_daemons() -> None:
    done = run_program(
        "import threading, time, triga\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "def late():\n"
        "    threading.main_thread().join()\n"
        "    print('late', triga.stats()['threads_started'])\n"
        "threading.Thread(target=late).start()\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "late 2\n", "")


def test_no_fork_warning_because_of_idle_threads() -> None:
    done = run_program(
        "import os, threading\n"
        "for _ in range(3):\n"
        "    t = threading.Thread(target=int); t.start(); t.join()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    t = threading.Thread(target=int); t.start(); t.join(); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "t = threading.Thread(target=int); t.start(); t.join()\n",
        "-Werror",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


def test_a_fork_from_a_thread_ends_with_that_thread() -> None:
    done = run_program(
        "import os, threading, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "def fork():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        print(threading.current_thread() is threading.main_thread(), threading.active_count(), flush=True)\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "t = threading.Thread(target=fork); t.start(); t.join()\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True 1\n", "")


def test_an_exception_reaches_the_hook(backend: str) -> None:
    caught = []
    before = threading.excepthook
    threading.excepthook = lambda args: caught.append((args.exc_type, args.thread))
    try:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    assert caught == [(ZeroDivisionError, thread)]


def test_waits_look_out_before_they_sleep() -> None:
    with triga.installed():
        before = triga.stats()
        ping, pong = threading.Event(), threading.Event()

        def answer() -> None:
            for _ in range(200):
                ping.wait()
                ping.clear()
                pong.set()

        thread = threading.Thread(target=answer)
        thread.start()
        for _ in range(200):
            ping.set()
            pong.wait()
            pong.clear()
        thread.join()
        after = triga.stats()
    assert after["spins"] > before["spins"]
    assert after["spin_nanoseconds"] > before["spin_nanoseconds"]
    assert after["spins_paid"] - before["spins_paid"] <= after["spins"] - before["spins"]


def test_waits_that_end_in_vain_stop_looking_out() -> None:
    spins = []

    def wait_in_vain() -> None:
        event = threading.Event()
        before = triga.stats()["spins"]
        for _ in range(300):
            event.wait(0.0001)
        spins.append(triga.stats()["spins"] - before)

    with triga.installed():
        thread = threading.Thread(target=wait_in_vain)
        thread.start()
        while thread.is_alive():  # asleep, so that only the other thread can spin
            time.sleep(0.01)
    # 1, 3, 7 ... 127 waits without; a few more for threads of other tests that look out once.
    assert spins[0] < 20


def test_signals_that_come_while_a_wait_looks_out_are_not_left_to_the_sleep() -> None:
    # Such a signal interrupts no system call: a sleep begun without looking for it would last until the next one. The
    # moment between that look and the sleep remains, as in the standard library, and costs a few in a hundred.
    text = (
        "import random, signal, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "class Alarm(Exception): pass\n"
        "def ring(*_): raise Alarm\n"
        "signal.signal(signal.SIGALRM, ring)\n"
        "random.seed(4)\n"
        "gate = threading.Event()\n"
        "late = 0\n"
        "with ThreadPoolExecutor(1) as quick, ThreadPoolExecutor(1) as slow:\n"
        "    never = slow.submit(gate.wait)\n"
        "    for _ in range(100):\n"
        "        quick.submit(int).result()\n"  # pays, so that the next wait looks out again
        "        before = time.monotonic()\n"
        "        try:\n"
        "            try:\n"
        "                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 8e-5), 0.2)\n"
        "                never.result()\n"
        "            finally:\n"
        "                signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "        except Alarm:\n"
        "            late += time.monotonic() - before > 0.1\n"  # ended by the second ring
        "    gate.set()\n"
        "print(late)\n"
    )
    result = run_program(text)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) < 30
