"""multiprocessing and ProcessPoolExecutor: standard-library code, the same for every arm."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, wait

from meter import main, table

SIZE = 64 * 1024 * 1024


def nothing(_=None):
    """An empty task."""


def echo(value):
    """Gives back what it is given."""
    return value


def pool_round_trip(meter):
    """Pool.apply() of an empty task."""
    count = meter.n(2_000)
    with multiprocessing.Pool(2) as pool:
        pool.map(nothing, range(20))
        with meter(count):
            for _ in range(count):
                pool.apply(nothing)


def executor_round_trip(meter):
    """ProcessPoolExecutor.submit().result() of an empty task."""
    count = meter.n(2_000)
    with ProcessPoolExecutor(2) as executor:
        wait([executor.submit(nothing) for _ in range(20)])
        with meter(count):
            for _ in range(count):
                executor.submit(nothing).result()


def executor_burst(meter):
    """submit() empty tasks to two workers and wait for all."""
    count = meter.n(10_000)
    with ProcessPoolExecutor(2) as executor:
        wait([executor.submit(nothing) for _ in range(20)])
        with meter(count):
            wait([executor.submit(nothing) for _ in range(count)])


def pool_map_chunk_1(meter):
    """Pool.map(chunksize=1) of empty tasks."""
    count = meter.n(20_000)
    with multiprocessing.Pool(2) as pool:
        pool.map(nothing, range(20))
        with meter(count):
            pool.map(nothing, range(count), chunksize=1)


def pool_map(meter):
    """Pool.map() of empty tasks with the chunks that the pool chooses."""
    count = meter.n(100_000)
    with multiprocessing.Pool(2) as pool:
        pool.map(nothing, range(20))
        with meter(count):
            pool.map(nothing, range(count))


def bytes_there_and_back(meter):
    """64 MiB of bytes to a worker of a ProcessPoolExecutor and back."""
    count, payload = meter.n(8), bytes(range(256)) * (SIZE // 256)
    with ProcessPoolExecutor(1) as executor:
        executor.submit(echo, payload[:100]).result()
        executor.submit(echo, payload).result()
        with meter(count):
            for _ in range(count):
                assert len(executor.submit(echo, payload).result()) == SIZE


def array_there_and_back(meter):
    """A NumPy array of 64 MiB to a worker and back."""
    import numpy

    count, payload = meter.n(8), numpy.arange(SIZE // 8, dtype=numpy.int64)
    with ProcessPoolExecutor(1) as executor:
        executor.submit(echo, payload[:100]).result()
        executor.submit(echo, payload).result()
        with meter(count):
            for _ in range(count):
                assert executor.submit(echo, payload).result()[-1] == payload[-1]


def _start_join(meter, method, count):
    context = multiprocessing.get_context(method)

    def one():
        process = context.Process(target=nothing)
        process.start()
        process.join()
        assert process.exitcode == 0

    one()
    with meter(count):
        for _ in range(count):
            one()


def start_fork(meter):
    """Process.start() and .join(), start method fork."""
    _start_join(meter, "fork", meter.n(200))


def start_forkserver(meter):
    """Process.start() and .join(), start method forkserver."""
    _start_join(meter, "forkserver", meter.n(40))


def start_spawn(meter):
    """Process.start() and .join(), start method spawn."""
    _start_join(meter, "spawn", meter.n(20))


def bare_fork(meter):
    """What the operating system asks for a process of this interpreter that does nothing."""
    count = meter.n(200)
    with meter(count):
        for _ in range(count):
            if (pid := os.fork()) == 0:
                os._exit(0)
            os.waitpid(pid, 0)


def bare_pool_cycle(meter):
    """What the pools of pool_cycle_spawn cannot do without: one interpreter, ready to spawn, and two forks for each."""
    count = meter.n(8)
    with meter(count):
        needed = "import multiprocessing.spawn, multiprocessing.resource_tracker"
        subprocess.run([sys.executable, "-c", needed], check=True)
        for _ in range(count):
            children = [os.fork() or os._exit(0) for _ in range(2)]
            for child in children:
                os.waitpid(child, 0)


def pool_cycle_spawn(meter):
    """A spawn Pool of two, one task, and its end."""
    context, count = multiprocessing.get_context("spawn"), meter.n(8)
    with meter(count):
        for _ in range(count):
            with context.Pool(2) as pool:
                pool.apply(nothing)


def _produce(items, count):
    for number in range(count):
        items.put(number)


def _consume(items, count, ready):
    ready.wait()
    for _ in range(count):
        items.get()


def _queue(meter, pairs, count):
    items, ready, each = multiprocessing.Queue(), multiprocessing.Barrier(pairs + 1), count // pairs
    consumers = [multiprocessing.Process(target=_consume, args=(items, each, ready)) for _ in range(pairs)]
    producers = [multiprocessing.Process(target=_produce, args=(items, each)) for _ in range(pairs)]
    for process in consumers:
        process.start()
    ready.wait()
    with meter(each * pairs):
        for process in producers:
            process.start()
        for process in producers + consumers:
            process.join()


def queue_1_1(meter):
    """One process puts numbers into a multiprocessing.Queue, one gets them."""
    _queue(meter, 1, meter.n(50_000))


def queue_4_4(meter):
    """Four processes put, four get."""
    _queue(meter, 4, meter.n(50_000))


if __name__ == "__main__":
    if sys.platform == "linux" and sys.version_info >= (3, 14) and not sys.argv[1].startswith("start_"):
        # The rows compare pools, not start methods, so they use the one that every version has as its quickest.
        multiprocessing.set_start_method("fork")
    main(
        table(
            pool_round_trip, executor_round_trip, executor_burst, pool_map_chunk_1, pool_map, bytes_there_and_back,
            array_there_and_back, start_fork, start_forkserver, start_spawn, bare_fork, bare_pool_cycle,
            pool_cycle_spawn, queue_1_1, queue_4_4,
        ),
        many_processes=True,
    )  # fmt: skip
