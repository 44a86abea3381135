"""threading, queue and concurrent.futures: standard-library code, the same for every arm."""

import hashlib
import queue
import resource
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from multiprocessing.pool import ThreadPool
from pathlib import Path

from meter import main, table


def nothing(_=None):
    """An empty task."""


def submit_burst(meter):
    """submit() empty tasks to four workers and wait for all."""
    count = meter.n(20_000)
    with ThreadPoolExecutor(4) as executor:
        wait([executor.submit(nothing) for _ in range(100)])
        with meter(count):
            wait([executor.submit(nothing) for _ in range(count)])


def submit_round_trip(meter):
    """submit() one task and wait for its result, again and again."""
    count = meter.n(4_000)
    with ThreadPoolExecutor(4) as executor:
        wait([executor.submit(nothing) for _ in range(100)])
        with meter(count):
            for _ in range(count):
                executor.submit(nothing).result()


def map_burst(meter):
    """Executor.map() of empty tasks."""
    count = meter.n(20_000)
    with ThreadPoolExecutor(4) as executor:
        wait([executor.submit(nothing) for _ in range(100)])
        with meter(count):
            assert sum(1 for _ in executor.map(nothing, range(count))) == count


def as_completed_burst(meter):
    """as_completed() over submitted tasks, the submits included."""
    count = meter.n(20_000)
    with ThreadPoolExecutor(4) as executor:
        wait([executor.submit(nothing) for _ in range(100)])
        with meter(count):
            futures = [executor.submit(nothing) for _ in range(count)]
            assert sum(1 for _ in as_completed(futures)) == count


def resident():
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def waiting_task(meter):
    """What a task takes that waits behind a busy worker, its future included."""
    count = meter.n(100_000)
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        wait([executor.submit(nothing) for _ in range(100)])
        executor.submit(gate.wait)
        futures = [None] * count
        before = resident()
        for number in range(count):
            futures[number] = executor.submit(nothing, None)
        with meter(count, bytes=resident() - before):
            gate.set()
            wait(futures)


def thread_pool_apply(meter):
    """ThreadPool.apply(): one call and its result, again and again."""
    count = meter.n(4_000)
    with ThreadPool(4) as pool:
        pool.map(nothing, range(100))
        with meter(count):
            for _ in range(count):
                pool.apply(nothing)


def thread_pool_map(meter):
    """ThreadPool.map() with a task an item."""
    count = meter.n(20_000)
    with ThreadPool(4) as pool:
        pool.map(nothing, range(100))
        with meter(count):
            assert len(pool.map(nothing, range(count), chunksize=1)) == count


def thread_pool_imap_unordered(meter):
    """ThreadPool.imap_unordered() of empty tasks."""
    count = meter.n(20_000)
    with ThreadPool(4) as pool:
        pool.map(nothing, range(100))
        with meter(count):
            assert sum(1 for _ in pool.imap_unordered(nothing, range(count))) == count


def barrier(meter):
    """Two threads meet at a Barrier."""
    count = meter.n(5_000)
    meeting = threading.Barrier(2)

    def other():
        for _ in range(count):
            meeting.wait()

    thread = threading.Thread(target=other)
    thread.start()
    with meter(count):
        for _ in range(count):
            meeting.wait()
    thread.join()


def thread_start_join(meter):
    """Thread(target=...).start(), .join()."""
    count = meter.n(3_000)
    with meter(count):
        for _ in range(count):
            thread = threading.Thread(target=nothing)
            thread.start()
            thread.join()


def event_ping_pong(meter):
    """Two threads wake each other through two Events."""
    count = meter.n(5_000)
    ping, pong = threading.Event(), threading.Event()

    def other():
        for _ in range(count):
            ping.wait()
            ping.clear()
            pong.set()

    thread = threading.Thread(target=other)
    thread.start()
    with meter(count):
        for _ in range(count):
            ping.set()
            pong.wait()
            pong.clear()
    thread.join()


def _queue_ping_pong(meter, kind):
    count = meter.n(5_000)
    there, back = kind(), kind()

    def other():
        for _ in range(count):
            back.put(there.get())

    thread = threading.Thread(target=other)
    thread.start()
    with meter(count):
        for number in range(count):
            there.put(number)
            back.get()
    thread.join()


def queue_ping_pong(meter):
    """A number to another thread and back through two Queues."""
    _queue_ping_pong(meter, queue.Queue)


def simple_queue_ping_pong(meter):
    """A number to another thread and back through two SimpleQueues."""
    _queue_ping_pong(meter, queue.SimpleQueue)


def queue_put_get(meter):
    """put() and get() of a Queue that nobody else uses."""
    count = meter.n(200_000)
    items = queue.Queue()
    with meter(count):
        for number in range(count):
            items.put(number)
            items.get()


def queue_stream(meter):
    """Four threads put, four threads get: one operation is an item handed over."""
    count = meter.n(100_000) // 4 * 4
    items = queue.Queue()

    def produce():
        for number in range(count // 4):
            items.put(number)

    def consume():
        for _ in range(count // 4):
            items.get()

    threads = [threading.Thread(target=each) for each in [produce, consume] * 4]
    with meter(count):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _hash(path):
    return hashlib.sha256(path.read_bytes()).digest()


def hash_files(meter):
    """SHA-256 of files of 1 MiB on two workers: one operation is a file."""
    count = meter.n(1_000, least=64)
    with tempfile.TemporaryDirectory() as folder:
        # One file under many names: the work is the reading and the hashing.
        first = Path(folder, "0")
        first.write_bytes(bytes(range(256)) * 4096)
        paths = [first]
        for number in range(1, count):
            paths.append(Path(folder, str(number)))
            paths[-1].hardlink_to(first)
        with ThreadPoolExecutor(2) as executor:
            wait([executor.submit(nothing) for _ in range(4)])
            with meter(count):
                assert len(set(executor.map(_hash, paths))) == 1


def python_call(meter):
    """What one call of a Python function costs: the floor under every callback and task."""
    count = meter.n(3_000_000)
    with meter(count):
        for _ in range(count):
            nothing()


if __name__ == "__main__":
    main(
        table(
            waiting_task, thread_pool_apply, thread_pool_map, thread_pool_imap_unordered, barrier,
            submit_burst, submit_round_trip, map_burst, as_completed_burst, thread_start_join, event_ping_pong,
            queue_ping_pong, simple_queue_ping_pong, queue_put_get, queue_stream, hash_files, python_call,
        )
    )  # fmt: skip
