"""multiprocessing's queues, once with the standard library's and once with triga's."""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import select
import signal
import subprocess
import sys
import textwrap
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest

import triga

METHODS = ["fork", "spawn", "forkserver"]


def run(program: str, timeout: float = 60) -> str:
    """Runs a program in an interpreter of its own, and returns what it printed."""
    code = textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stderr)
    return done.stdout


VALUES = [
    0, -1, 2**62, 2**70, 1.5, float("inf"), None, True, False, b"", b"x" * 70_000,
    "", "text", "t\xe4xt\u20ac", "\ud800", [1, {"a": (2, 3)}], bytearray(b"y" * 200_000), "a" * 100_000,
]  # fmt: skip


def put_all(items: Any, values: list[Any]) -> None:
    for value in values:
        items.put(value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "SimpleQueue"])
def test_objects_arrive_equal_and_in_order(backend: str, method: str, kind: str) -> None:
    context: Any = multiprocessing.get_context(method)
    items = getattr(context, kind)()
    process = context.Process(target=put_all, args=(items, VALUES))
    process.start()
    got = [items.get() for _ in VALUES]
    process.join()
    assert process.exitcode == 0
    assert got == VALUES
    assert [type(each) for each in got] == [type(each) for each in VALUES]
    assert items.empty()


def test_the_work_is_native() -> None:
    with triga.installed():
        items = multiprocessing.get_context("fork").Queue()
        before = triga.stats()
        items.put("native")
        assert items.get() == "native"
        after = triga.stats()
    assert after["messages_sent"] == before["messages_sent"] + 1
    assert after["messages_received"] == before["messages_received"] + 1
    assert after["message_bytes"] == before["message_bytes"] + 6


def test_bounds_and_timeouts(backend: str) -> None:
    items = multiprocessing.get_context("fork").Queue(2)
    items.put(1)
    items.put(2, True, 1)
    assert items.qsize() == 2
    assert items.full()
    for arguments in ((3, False), (3, True, 0.01), (3, True, -1)):
        with pytest.raises(queue.Full):
            items.put(*arguments)
    with pytest.raises(queue.Full):
        items.put_nowait(3)
    with pytest.raises(queue.Full):
        items.put(obj=3, timeout=0)
    assert [items.get(timeout=10), items.get(timeout=10)] == [1, 2]
    for wait in ((False,), (True, 0.01), (True, -1)):
        with pytest.raises(queue.Empty):
            items.get(*wait)
    with pytest.raises(queue.Empty):
        items.get_nowait()


def test_unbounded_put_never_waits(backend: str) -> None:
    # 64 MiB in small and large pieces, far more than a pipe or the ring holds, before anybody takes anything.
    items = multiprocessing.get_context("fork").Queue()
    pieces = [bytes([number % 256]) * (5_000 if number % 16 else 1_000_000) for number in range(512)]
    for piece in pieces:
        items.put(piece)
    assert items.qsize() == len(pieces)
    assert all(items.get() == piece for piece in pieces)


def test_what_is_beyond_the_bound_waits_in_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGA_QUEUE_MEMORY", str(1 << 20))
    with triga.installed():
        items: Any = multiprocessing.get_context("fork").Queue()
        for number in range(8):
            items.put(bytes([number]) * 600_000)
        assert items._thread is not None
        assert items._thread.name == "QueueFeederThread"
        assert [items.get()[0] for _ in range(8)] == list(range(8))


class Unpicklable:
    def __reduce__(self) -> Any:
        raise AttributeError("not me")


def test_what_cannot_be_pickled_goes_to_the_hook(backend: str) -> None:
    seen = []
    context = multiprocessing.get_context("fork")

    class Hooked(multiprocessing.queues.Queue):  # type: ignore[type-arg]
        @staticmethod
        def _on_queue_feeder_error(error: BaseException, obj: object) -> None:
            seen.append((type(error), type(obj)))

    items = Hooked(1, ctx=context)
    items.put(Unpicklable())
    items.put("next")
    assert items.get(timeout=30) == "next"
    assert seen == [(AttributeError, Unpicklable)]


def test_simple_queue_raises_what_pickling_raises(backend: str) -> None:
    with pytest.raises(AttributeError, match="not me"):
        multiprocessing.get_context("fork").SimpleQueue().put(Unpicklable())


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_reader_tells_select_and_wait(backend: str, kind: str) -> None:
    items = getattr(multiprocessing.get_context("fork"), kind)()
    assert select.select([items._reader], [], [], 0)[0] == []
    items.put(1)
    assert connection.wait([items._reader], 30) == [items._reader]
    items.put(2)
    assert items.get() == 1
    assert connection.wait([items._reader], 30) == [items._reader]
    assert items._reader.recv() == 2
    assert select.select([items._reader], [], [], 0)[0] == []
    assert items.empty()


def test_closed_queue(backend: str) -> None:
    items = multiprocessing.get_context("fork").Queue()
    items.put(1)
    items.close()
    items.join_thread()
    with pytest.raises(ValueError, match="is closed"):
        items.get()
    with pytest.raises(ValueError, match="is closed"):
        items.put(1)
    with pytest.raises(OSError, match="is closed"):
        items.empty()


def test_join_waits_for_task_done(backend: str) -> None:
    context = multiprocessing.get_context("fork")
    items = context.JoinableQueue()
    process = context.Process(target=_work, args=(items,))
    process.start()
    for number in range(100):
        items.put(number)
    items.join()
    items.put(None)
    process.join()
    assert process.exitcode == 0
    with pytest.raises(ValueError, match="too many times"):
        for _ in range(2):
            items.task_done()
    items.close()
    items.join_thread()  # the next test forks, of which 3.12 and later warn beside a thread


def _work(items: Any) -> None:
    while items.get() is not None:
        items.task_done()


def test_large_array_arrives_in_place(backend: str) -> None:
    numpy = pytest.importorskip("numpy")
    items = multiprocessing.get_context("fork").Queue()
    sent = numpy.arange(1 << 20)
    items.put(sent)
    got = items.get()
    assert (got == sent).all()
    got[0] = 7  # it is the receiver's own
    assert got[0] == 7


def test_a_subclass_with_machinery_of_its_own_runs_the_standard_librarys(backend: str) -> None:
    fed = []

    class Own(multiprocessing.queues.Queue):  # type: ignore[type-arg]
        def _start_thread(self) -> None:
            fed.append(True)
            super()._start_thread()  # type: ignore[misc]

    items = Own(ctx=multiprocessing.get_context("fork"))
    items.put("stock")
    assert items.get(timeout=30) == "stock"
    assert fed == [True]


SUBCLASSES = """
import multiprocessing.queues as queues

class Plain(queues.Queue):
    def __getstate__(self):
        state = self._ignore_epipe, self._maxsize, self._reader, self._writer
        return *state, self._rlock, self._wlock, self._sem, self._opid
    def __setstate__(self, state):
        super().__setstate__(state)

class Simple(queues.SimpleQueue):
    def __getstate__(self):
        return self._reader, self._writer, self._rlock, self._wlock
    def __setstate__(self, state):
        self._reader, self._writer, self._rlock, self._wlock = state
    def put(self, obj):
        with self._wlock:
            self._writer.send(obj)

class Joinable(queues.JoinableQueue):
    def __getstate__(self):
        return "more", super().__getstate__()
    def __setstate__(self, state):
        super().__setstate__(state[1])

def echo(questions, answers):
    answers.put(questions.get())

if __name__ == "__main__":
    import multiprocessing, sys
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        for kind in (Plain, Simple, Joinable):
            questions, answers = kind(ctx=context), context.SimpleQueue()
            process = context.Process(target=echo, args=(questions, answers))
            process.start()
            questions.put(kind.__name__)
            print(method, answers.get())
            process.join(30)
"""


def test_a_subclass_that_says_itself_what_is_pickled_of_it(backend: str, tmp_path: Path) -> None:
    """As loky's queues, which are those of joblib. An end of a native queue cannot be sent by itself."""
    script = tmp_path / "subclasses.py"
    script.write_text(SUBCLASSES)
    environment = {**os.environ, "TRIGA": "1" if backend == "triga" else "0"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    kinds = ("Plain", "Simple", "Joinable")
    assert done.stdout.splitlines() == [f"{method} {kind}" for method in ("fork", "spawn") for kind in kinds]


def test_queue_is_not_pickled_but_for_a_child(backend: str) -> None:
    import pickle

    for kind in ("Queue", "SimpleQueue"):
        with pytest.raises(RuntimeError, match="through inheritance"):
            pickle.dumps(getattr(multiprocessing.get_context("spawn"), kind)())


def test_exit_with_unread_objects_ends_at_once_or_feeds(backend: str) -> None:
    prefix = "import triga; triga.install()\n" if backend == "triga" else ""
    program = """
        import multiprocessing
        context = multiprocessing.get_context("fork")
        items = context.Queue()
        def put():
            for _ in range(40):
                items.put(b"x" * 100_000)
        process = context.Process(target=put)
        process.start()
        got = sum(len(items.get()) for _ in range(40))
        process.join()
        print(got, process.exitcode)
        items.put("left behind")
    """
    assert run(prefix + textwrap.dedent(program)) == "4000000 0\n"


def _produce_for_ever(items: Any, producer: int) -> None:
    for number in range(10**9):
        items.put((producer, number, "x" * (number % 3000)))


def _consume_for_ever(items: Any, done: Any) -> None:
    while True:
        items.get()
        done.value += 1


@pytest.mark.parametrize("seed", range(4))
def test_killed_processes_do_not_wedge_the_others(seed: int) -> None:
    # Not with the standard library, whose queues hang when a process dies with their lock.
    chance = random.Random(seed)
    with triga.installed():
        context = multiprocessing.get_context("fork")
        items = context.Queue(50)
        done = context.Value("q", 0, lock=False)
        for _ in range(12):
            victims = [context.Process(target=_produce_for_ever, args=(items, n), daemon=True) for n in range(2)]
            victims += [context.Process(target=_consume_for_ever, args=(items, done), daemon=True)]
            for victim in victims:
                victim.start()
            last: dict[tuple[int, int], int] = {}
            for _ in range(chance.randrange(1, 200)):
                producer, number, text = items.get(timeout=60)
                assert len(text) == number % 3000
                assert number > last.get((producer, 0), -1)
                last[producer, 0] = number
            for victim in chance.sample(victims, len(victims)):
                os.kill(victim.pid or 0, signal.SIGKILL)
            for victim in victims:
                victim.join()
            while True:
                try:
                    items.get_nowait()
                except queue.Empty:
                    break
            items.put("alive", timeout=60)
            assert items.get(timeout=60) == "alive"
            assert items.qsize() == 0


def test_get_runs_signal_handlers(backend: str) -> None:
    items = multiprocessing.get_context("fork").Queue()
    seen: list[int] = []

    def handle(number: int, frame: object) -> None:
        seen.append(1)
        items.put("from the handler")

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert items.get(timeout=60) == "from the handler"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == [1]


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "SimpleQueue"])
def test_what_the_fork_context_made_is_not_sent_to_a_spawned_process(backend: str, kind: str) -> None:
    """From 3.12 on it is an error, by way of the locks that the standard library's queues have."""
    made = getattr(multiprocessing.get_context("fork"), kind)()
    process = multiprocessing.get_context("spawn").Process(target=print, args=(made,))
    if sys.version_info < (3, 12):
        pytest.skip("3.11 sends it, to a process that may fail")
    with pytest.raises(RuntimeError, match="A SemLock created in a fork context is being shared"):
        process.start()
