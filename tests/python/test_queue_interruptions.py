"""Queues that something ends or cuts short: Ctrl-C, a signal, the exit of the interpreter, a fork."""

from __future__ import annotations

import pytest

from tests.python.blocking import assert_ctrl_c_ends, run

BLOCKED = {
    "get": "queue.Queue().get()",
    "get with timeout": "queue.Queue().get(timeout=30)",
    "put": "q = queue.Queue(1); q.put(1); q.put(2)",
    "join": "q = queue.Queue(); q.put(1); q.join()",
    "simple get": "queue.SimpleQueue().get()",
    "priority get": "queue.PriorityQueue().get()",
    "condition wait": "q = queue.Queue(); q.mutex.acquire(); q.not_empty.wait()",
    "mutex": "q = queue.Queue(); q.mutex.acquire(); q.put(1)",
}


@pytest.mark.parametrize("blocked", BLOCKED)
def test_ctrl_c_ends_a_blocked_call(blocked: str) -> None:
    assert_ctrl_c_ends(BLOCKED[blocked])


def test_a_signal_handler_runs_and_the_wait_goes_on_for_the_rest_of_its_time() -> None:
    done = run(
        "import queue, signal, time\n"
        "ran = []\n"
        "signal.signal(signal.SIGALRM, lambda *_: ran.append(1))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)\n"
        "for q in (queue.Queue(), queue.SimpleQueue()):\n"
        "    begin = time.monotonic()\n"
        "    try: q.get(timeout=0.4)\n"
        "    except queue.Empty: print(0.4 <= time.monotonic() - begin < 5, len(ran) >= 3)\n"
        "    ran.clear()\n"
    )
    assert (done.stdout, done.stderr) == ("True True\nTrue True\n", "")


def test_a_daemon_thread_blocked_in_get_does_not_disturb_the_exit() -> None:
    done = run(
        "import queue, threading\n"
        "queues = [queue.Queue(), queue.SimpleQueue(), queue.PriorityQueue()]\n"
        "for q in queues:\n"
        "    for timeout in (None, 0.2):\n"
        "        threading.Thread(target=q.get, kwargs={'timeout': timeout}, daemon=True).start()\n"
        "class Late:\n"
        "    def __del__(self):\n"
        "        import time; time.sleep(0.3)\n"
        "        for q in queues: q.put(1)\n"
        "import sys; sys.late = Late()\n"
        "print('end')\n"
    )
    assert (done.stdout, done.returncode) == ("end\n", 0)


def test_a_forked_child_starts_with_no_waiters() -> None:
    done = run(
        "import os, queue, threading, time, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "queues = [queue.Queue(), queue.SimpleQueue()]\n"
        "threads = [threading.Thread(target=q.get) for q in queues]\n"
        "[t.start() for t in threads]\n"
        "time.sleep(0.2)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    for q in queues:\n"
        "        q.put(1); assert q.get(timeout=5) == 1\n"
        "        t = threading.Thread(target=lambda: print('got', q.get(timeout=5), flush=True))\n"
        "        t.start(); time.sleep(0.1); q.put(2); t.join()\n"
        "    os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "for q in queues: q.put(3)\n"
        "[t.join(5) for t in threads]\n"
        "print([t.is_alive() for t in threads])\n"
    )
    assert (done.stdout, done.stderr) == ("got 2\ngot 2\n[False, False]\n", "")
