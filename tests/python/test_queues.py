"""Module queue: the native classes do what the standard ones do, and do it in the core."""

from __future__ import annotations

import gc
import importlib
import os
import queue
import random
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import triga

CLASSES = ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"]
WITH_TASKS = CLASSES[:3]
HAS_SHUTDOWN = hasattr(queue.Queue, "shutdown")


def start(function: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """A daemon thread running ``function``: a test that fails must not keep the interpreter."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread is about to do, which shows in the state only."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs PROGRAM with everything native."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "TRIGA": "1", **environment},
        timeout=60,
    )


def operations() -> int:
    return triga.stats()["queue_operations"]


@pytest.mark.parametrize("name", CLASSES)
def test_puts_and_gets_run_in_the_core(name: str) -> None:
    with triga.installed():
        q = getattr(queue, name)()
        before = operations()
        for i in range(10):
            q.put(i)
        assert sorted(q.get() for _ in range(10)) == list(range(10))
        assert operations() - before == 20


@pytest.mark.parametrize("name", WITH_TASKS)
def test_the_standard_class_still_accepts_native_queues(name: str) -> None:
    standard = getattr(queue, name)
    with triga.installed():
        native = getattr(queue, name)
        assert native is not standard
        assert isinstance(native(), standard)
        assert isinstance(native(), queue.Queue)
        assert (native.__module__, native.__qualname__) == ("queue", name)


def test_a_fresh_copy_of_the_module_is_native_and_raises_its_own_exceptions() -> None:
    with triga.installed():
        saved = {name: sys.modules.pop(name) for name in ("queue", "_queue") if name in sys.modules}
        try:
            fresh = importlib.import_module("queue")
        finally:
            sys.modules.update(saved)
        before = operations()
        for name in CLASSES:
            q = getattr(fresh, name)()
            q.put(1)
            q.get()
            with pytest.raises(fresh.Empty):
                q.get_nowait()
        assert operations() - before == 8
        assert fresh.Empty is not queue.Empty
        with pytest.raises(fresh.Full):
            q = fresh.Queue(1)
            q.put(1)
            q.put(2, timeout=0)


def test_without_the_c_module_the_copy_is_native_too() -> None:
    with triga.installed():
        saved = {name: sys.modules.pop(name) for name in ("queue", "_queue") if name in sys.modules}
        sys.modules["_queue"] = None  # type: ignore[assignment]
        try:
            copy = importlib.import_module("queue")
        finally:
            del sys.modules["_queue"]
            sys.modules.update(saved)
        q = copy.SimpleQueue()
        before = operations()
        q.put(1)
        assert q.get() == 1
        assert operations() - before == 2
        assert copy.Empty.__module__ == "queue"
        with pytest.raises(copy.Empty):
            q.get(timeout=0.001)


@pytest.mark.parametrize("name", CLASSES)
def test_argument_errors_read_as_in_the_original(backend: str, name: str) -> None:
    q = getattr(queue, name)()
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        q.get(timeout=-0.1)
    with pytest.raises(TypeError):
        q.get(timeout="soon")
    with pytest.raises(TypeError):
        q.put()
    with pytest.raises(TypeError):
        q.put(1, True, None, 1)
    with pytest.raises(TypeError):
        q.get(wait=True)
    if backend == "triga" or name == "SimpleQueue":  # the standard Queue.get() spins for ever before 3.15
        with pytest.raises(ValueError):
            q.get(timeout=float("nan"))
    with pytest.raises(OverflowError):
        q.get(timeout=1e300)


def test_missing_and_unexpected_arguments_are_named(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    with pytest.raises(TypeError, match=r"Queue\.put\(\) missing 1 required positional argument: 'item'"):
        q.put()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Queue\.put\(\) got an unexpected keyword argument 'wait'"):
        q.put(1, wait=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Queue\.get\(\) takes from 1 to 3 positional arguments but 4 were given"):
        q.get(1, 2, 3)  # type: ignore[call-arg,arg-type]
    with pytest.raises(TypeError, match=r"Queue\.get\(\) got multiple values for argument 'block'"):
        q.get(True, block=True)  # type: ignore[call-overload]


@pytest.mark.parametrize("maxsize", [0, -3, 2, 2.0, 1.5, float("inf"), float("nan"), 10**30, True])
def test_maxsize_may_be_any_number(backend: str, maxsize: Any) -> None:
    q: queue.Queue[int] = queue.Queue(maxsize)
    assert q.maxsize is maxsize
    room = 0
    while room < 5 and not q.full():
        q.put_nowait(room)
        room += 1
    expected = 5 if not 0 < maxsize < 5 else {True: 1}.get(maxsize, 2)
    assert room == expected


def test_a_maxsize_that_cannot_be_compared_fails_at_put(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'>' not supported between instances of 'NoneType' and 'int'"):
        q.put(1)
    assert not q.mutex.locked()


def test_attributes_are_the_real_things(backend: str) -> None:
    q: queue.Queue[Any] = queue.Queue(3)
    q.put("a")
    assert q.queue == deque(["a"])
    q.queue.appendleft("b")
    assert (q.get(), q.unfinished_tasks) == ("b", 1)
    q.queue.clear()
    assert q.empty()
    q.unfinished_tasks = 0
    q.join()
    assert type(q.mutex) is type(threading.Lock())
    assert q.not_empty is q.not_empty
    for condition in (q.not_empty, q.not_full, q.all_tasks_done):
        assert isinstance(condition, threading.Condition)
    assert type(queue.LifoQueue().queue) is list
    assert hasattr(q, "shutdown") == hasattr(q, "is_shutdown") == HAS_SHUTDOWN


def test_an_uninitialised_queue_is_an_attribute_error(backend: str) -> None:
    class Forgetful(queue.Queue):  # type: ignore[type-arg]
        def __init__(self) -> None:
            pass

    for use in (lambda q: q.put(1), lambda q: q.get(), lambda q: q.qsize(), lambda q: q.join(), lambda q: q.queue):
        with pytest.raises(AttributeError):
            use(Forgetful())


def test_holding_the_mutex_keeps_operations_out(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    done: list[str] = []
    with q.mutex:
        threads = [start(lambda: (q.put(1), done.append("put"))), start(lambda: (q.get(), done.append("get")))]
        time.sleep(0.05)
        assert (done, len(q.queue)) == ([], 0)
    for thread in threads:
        thread.join(20)
    assert sorted(done) == ["get", "put"]


def test_waiting_on_a_condition_of_the_queue(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    q.put(1)
    seen: list[bool] = []

    def wait() -> None:
        with q.all_tasks_done:
            while q.unfinished_tasks:
                seen.append(q.all_tasks_done.wait(20))

    thread = start(wait)
    until(lambda: len(q.all_tasks_done._waiters) == 1)
    q.get()
    q.task_done()
    thread.join(20)
    assert seen == [True]
    with q.all_tasks_done:
        assert q.all_tasks_done.wait(0.01) is False


def test_notifying_a_condition_wakes_a_blocked_get(backend: str) -> None:
    q: queue.Queue[str] = queue.Queue()
    got: list[str] = []
    thread = start(lambda: got.append(q.get()))
    until(lambda: len(q.not_empty._waiters) == 1)
    with q.not_empty:
        q.queue.append("by hand")
        q.not_empty.notify()
    thread.join(20)
    assert got == ["by hand"]


def test_a_mutex_shared_by_two_queues(backend: str) -> None:
    """The recipe for a common lock: replace the mutex, and make the conditions anew over it."""
    shared = threading.Lock()
    queues: list[queue.Queue[int]] = [queue.Queue(1), queue.Queue(1)]
    for q in queues:
        q.mutex = shared
        q.not_empty, q.not_full = threading.Condition(shared), threading.Condition(shared)
        q.all_tasks_done = threading.Condition(shared)
    got: list[int] = []
    thread = start(lambda: got.extend(queues[1].get() for _ in range(3)))
    for i in range(3):
        queues[1].put(i)
    thread.join(20)
    assert got == [0, 1, 2]
    with shared, pytest.raises(queue.Empty):
        queues[1].mutex.release()
        try:
            queues[1].get_nowait()
        finally:
            shared.acquire()


def test_replacing_the_mutex_under_a_blocked_get(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    got: list[int] = []
    thread = start(lambda: got.append(q.get(timeout=20)))
    until(lambda: len(q.not_empty._waiters) == 1)
    if backend == "triga":  # the standard get() stays on the old condition for ever
        q.not_empty = threading.Condition(q.mutex)
    q.put(7)
    thread.join(20)
    assert got == [7]


def test_hooks_of_a_subclass(backend: str) -> None:
    calls: list[str] = []

    class Unique(queue.Queue):  # type: ignore[type-arg]
        def _init(self, maxsize: int) -> None:
            calls.append(f"init {maxsize}")
            self.queue: Any = {}

        def _put(self, item: Any) -> None:
            assert self.mutex.locked()
            self.queue[item] = None

        def _get(self) -> Any:
            assert self.mutex.locked()
            return self.queue.popitem()[0]

    q = Unique(2)
    q.put("a")
    q.put("a")
    q.put("b")
    with pytest.raises(queue.Full):
        q.put("c", timeout=0.01)
    assert (q.qsize(), q.get(), q.get(), calls) == (2, "b", "a", ["init 2"])
    with pytest.raises(queue.Empty):
        q.get_nowait()


def test_put_nowait_and_get_nowait_go_through_overridden_methods(backend: str) -> None:
    class Logging(queue.Queue):  # type: ignore[type-arg]
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            super().put((item, block), block, timeout)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            return (super().get(block, timeout), block)

    q = Logging()
    q.put_nowait(1)
    assert q.get_nowait() == ((1, False), False)


def test_methods_assigned_on_class_and_instance_are_called(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    q: Any = queue.Queue()
    q.put(1)
    assert q.get() == 1
    q._put = lambda item: q.queue.append(("instance", item))
    q.put(1)
    assert q.get() == ("instance", 1)
    del q._put
    monkeypatch.setattr(queue.Queue, "_put", lambda self, item: self.queue.append(("class", item)))
    q.put(1)
    assert q.get() == ("class", 1)
    monkeypatch.undo()
    q.put(1)
    assert q.get() == 1
    monkeypatch.setattr(queue.Queue, "put", lambda self, item, block=True: self.queue.append(("put", item, block)))
    q.put_nowait(1)
    assert q.get() == ("put", 1, False)


def test_a_failing_hook_leaves_the_mutex_free(backend: str) -> None:
    class Failing(queue.Queue):  # type: ignore[type-arg]
        def _put(self, item: Any) -> None:
            raise ZeroDivisionError

    q = Failing()
    with pytest.raises(ZeroDivisionError):
        q.put(1)
    assert not q.mutex.locked()
    assert q.unfinished_tasks == 0
    p: queue.PriorityQueue[Any] = queue.PriorityQueue()
    p.put(1)
    with pytest.raises(TypeError):
        p.put("one")
    assert not p.mutex.locked()


def test_a_comparison_in_python_excludes_other_threads(backend: str) -> None:
    """Heapq's invariant would break if another put ran while a comparison lets go of the GIL."""

    class Slow:
        def __init__(self, value: int) -> None:
            self.value = value

        def __lt__(self, other: Slow) -> bool:
            time.sleep(0)
            return self.value < other.value

    q: queue.PriorityQueue[Slow] = queue.PriorityQueue()
    numbers = list(range(300))
    random.Random(5).shuffle(numbers)
    threads = [start(lambda part: [q.put(Slow(n)) for n in part], numbers[i::3]) for i in range(3)]
    for thread in threads:
        thread.join(20)
    assert [q.get().value for _ in numbers] == sorted(numbers)


@pytest.mark.parametrize("name", CLASSES)
def test_items_are_freed_as_soon_as_they_are_got(backend: str, name: str) -> None:
    class Item:
        def __lt__(self, other: Item) -> bool:
            return id(self) < id(other)

    q = getattr(queue, name)()
    for _ in range(20):
        q.put(Item())
    for _ in range(20):
        item = weakref.ref(q.get())
        assert item() is None


@pytest.mark.parametrize("name", CLASSES)
def test_a_cycle_through_a_queue_is_collected(backend: str, name: str) -> None:
    q = getattr(queue, name)()
    q.put(q)
    if name != "SimpleQueue":
        assert q.not_empty  # made by being asked for, and it refers to the queue
    gone = weakref.ref(q)
    del q
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "SimpleQueue"])
def test_put_is_reentrant_from_a_finalizer(name: str) -> None:
    """Gc may run at any allocation inside put(): a destructor that puts must neither deadlock nor lose an item."""
    with triga.installed():
        q = getattr(queue, name)()
        numbers = iter(range(1_000_000))

        class Circular:
            def __init__(self) -> None:
                self.circular = self

            def __del__(self) -> None:
                q.put(next(numbers))

        results = []
        while len(results) < 3000:
            Circular()
            q.put(next(numbers))
            results.append(q.get())
        while not q.empty():
            results.append(q.get())
        assert len(set(results)) == len(results)


@pytest.mark.parametrize("name", CLASSES)
def test_queues_refuse_pickling_and_take_attributes(backend: str, name: str) -> None:
    import pickle

    q = getattr(queue, name)()
    with pytest.raises(TypeError):
        pickle.dumps(q)
    assert getattr(queue, name)[int] == type(q)[int]
    if name != "SimpleQueue":
        q.note = 1
        assert q.__dict__["note"] == 1


@pytest.mark.skipif(not HAS_SHUTDOWN, reason="Queue.shutdown() is new in 3.13")
def test_shutdown_wakes_everybody(backend: str) -> None:
    q: Any = queue.Queue(1)
    errors: list[type] = []

    def fails(call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            errors.append(type(error))

    threads = [start(fails, q.get) for _ in range(3)]
    until(lambda: len(q.not_empty._waiters) == 3)
    q.shutdown()
    for thread in threads:
        thread.join(20)
    assert errors == [queue.ShutDown] * 3  # type: ignore[attr-defined]
    assert q.is_shutdown is True


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("seed", [1, 2])
def test_stress_many_producers_and_consumers(backend: str, name: str, seed: int) -> None:
    """Bounded and not, blocking and with timeouts: every item arrives once, and every wait ends."""
    random_ = random.Random(seed)
    limit = random_.choice([0, 1, 5])
    q = getattr(queue, name)(*([limit] if name != "SimpleQueue" else []))
    producers, consumers, each = 3, 3, 500
    got: list[list[int]] = [[] for _ in range(consumers)]

    def produce(number: int) -> None:
        rnd = random.Random(seed * 100 + number)
        for i in range(each):
            item = i * producers + number
            while True:
                try:
                    q.put(item, timeout=rnd.choice([None, 0.001, 1e-6]))
                    break
                except queue.Full:
                    pass

    def consume(number: int) -> None:
        rnd = random.Random(seed * 200 + number)
        while True:
            try:
                item = q.get(timeout=rnd.choice([None, 0.001, 1e-6]))
            except queue.Empty:
                continue
            if name != "SimpleQueue":
                q.task_done()
            if item >= 10**9:
                return
            got[number].append(item)

    consuming = [start(consume, n) for n in range(consumers)]
    producing = [start(produce, n) for n in range(producers)]
    for thread in producing:
        thread.join(60)
        assert not thread.is_alive()
    if name == "LifoQueue":  # a stop mark must not overtake
        until(q.empty)
    for i in range(consumers):
        q.put(10**9 + i)
    for thread in consuming:
        thread.join(60)
        assert not thread.is_alive()
    if name != "SimpleQueue":
        q.join()
    assert sorted(item for part in got for item in part) == list(range(producers * each))
    assert q.empty()


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
    done = run(
        "import queue, signal, sys, threading, _thread, time, os\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        f"    {BLOCKED[blocked]}\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


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
