"""The process pools and queues of other projects, on the same tasks as processes.py."""

import multiprocessing
import sys
from concurrent.futures import wait

from meter import main
from processes import SIZE, echo, nothing


def loky_executor(workers):
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(workers)


def pebble_executor(workers):
    from pebble import ProcessPool

    return ProcessPool(max_workers=workers)


def submitter(meter, executor):
    """The function that hands a task to the executor and returns its future."""
    return executor.submit if meter.arm == "loky" else lambda f, *a: executor.schedule(f, args=a)


def with_executor(work, workers=2):
    """A scenario for loky and pebble: ``work(meter, submit)`` on a warm pool."""

    def scenario(meter):
        with (loky_executor if meter.arm == "loky" else pebble_executor)(workers) as executor:
            submit = submitter(meter, executor)
            wait([submit(nothing) for _ in range(20)])
            work(meter, submit)

    return scenario


def round_trip(meter, submit):
    count = meter.n(2_000)
    with meter(count):
        for _ in range(count):
            submit(nothing).result()


def burst(meter, submit):
    count = meter.n(10_000)
    with meter(count):
        wait([submit(nothing) for _ in range(count)])


def there_and_back(payload):
    def work(meter, submit):
        count = meter.n(8)
        submit(echo, payload).result()
        with meter(count):
            for _ in range(count):
                assert len(submit(echo, payload).result()) == len(payload)

    return work


def bytes_there_and_back(meter):
    with_executor(there_and_back(bytes(range(256)) * (SIZE // 256)), workers=1)(meter)


def array_there_and_back(meter):
    import numpy

    with_executor(there_and_back(numpy.arange(SIZE // 8, dtype=numpy.int64)), workers=1)(meter)


def mpire_apply(meter):
    from mpire import WorkerPool

    count = meter.n(2_000)
    with WorkerPool(n_jobs=2, start_method="fork") as pool:
        pool.map(nothing, range(20))
        with meter(count):
            for _ in range(count):
                pool.apply(nothing)


def _mpire_map(meter, count, **options):
    from mpire import WorkerPool

    with WorkerPool(n_jobs=2, start_method="fork", keep_alive=True) as pool:
        pool.map(nothing, range(20))
        with meter(count):
            pool.map(nothing, range(count), **options)


def map_chunk_1(meter):
    _mpire_map(meter, meter.n(20_000), chunk_size=1)


def map_chunks(meter):
    count = meter.n(100_000)
    if meter.arm == "mpire":
        return _mpire_map(meter, count)
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2, backend="loky") as parallel:
        parallel(delayed(nothing)(number) for number in range(20))
        with meter(count):
            parallel(delayed(nothing)(number) for number in range(count))


def _produce(items, count):
    for number in range(count):
        items.put(number)


def _consume(items, count, ready):
    ready.wait()
    got = 0
    while got < count:
        got += len(items.get_many(timeout=10, max_messages_to_get=min(1000, count - got)))


def _faster_fifo(meter, pairs, count):
    from faster_fifo import Queue

    context = multiprocessing.get_context("fork")
    items, ready, each = Queue(), context.Barrier(pairs + 1), count // pairs
    consumers = [context.Process(target=_consume, args=(items, each, ready)) for _ in range(pairs)]
    producers = [context.Process(target=_produce, args=(items, each)) for _ in range(pairs)]
    for process in consumers:
        process.start()
    ready.wait()
    with meter(each * pairs):
        for process in producers:
            process.start()
        for process in producers + consumers:
            process.join()


def queue_1_1(meter):
    _faster_fifo(meter, 1, meter.n(50_000))


def queue_4_4(meter):
    _faster_fifo(meter, 4, meter.n(50_000))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: process_peers.py SCENARIO SCALE ARM")
    main(
        {
            "pool_round_trip": mpire_apply,
            "executor_round_trip": with_executor(round_trip),
            "executor_burst": with_executor(burst),
            "pool_map_chunk_1": map_chunk_1,
            "pool_map": map_chunks,
            "bytes_there_and_back": bytes_there_and_back,
            "array_there_and_back": array_there_and_back,
            "queue_1_1": queue_1_1,
            "queue_4_4": queue_4_4,
        },
        many_processes=True,
    )
