"""Each call that can block, ended by one SIGINT at a random moment, again and again: python interrupts_program.py SEED.

Prints the name of each call that KeyboardInterrupt ended in every round. A call that does not end is reported by
faulthandler, with where it hangs.
"""

from __future__ import annotations

import concurrent.futures
import faulthandler
import multiprocessing.pool
import os
import queue
import random
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 15
# From before the call has begun, over its look-out before it sleeps, to its sleep.
LONGEST_DELAY = 0.004

_forever = threading.Event()  # set at the end: lets every thread go


def locked(lock: Any) -> Any:
    lock.acquire()
    return lock


def held_by_another(lock: Any) -> Any:
    thread = threading.Thread(target=lambda: (lock.acquire(), begun.set(), _forever.wait()), daemon=True)
    begun = threading.Event()
    thread.start()
    begun.wait()
    return lock


def wait_on(condition: Any, predicate: Callable[[], bool] | None = None) -> None:
    with condition:
        condition.wait() if predicate is None else condition.wait_for(predicate)


def full_queue() -> Any:
    made: Any = queue.Queue(1)
    made.put(1)
    return made


def started() -> threading.Thread:
    thread = threading.Thread(target=_forever.wait, daemon=True)
    thread.start()
    return thread


# New ones for each call that joins them: to 3.11 and 3.12 a thread whose join() was interrupted has ended.


def busy_executor() -> Any:
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.submit(_forever.wait)
    return executor


def full_executor() -> Any:
    # The class of triga: the standard library's has no max_queue.
    executor: Any = concurrent.futures.ThreadPoolExecutor(1, max_queue=1)  # type: ignore[call-arg]
    begun = threading.Event()
    executor.submit(lambda: (begun.set(), _forever.wait()))
    begun.wait()
    executor.submit(_forever.wait)
    return executor


def busy_pool() -> Any:
    pool = multiprocessing.pool.ThreadPool(1)
    pool.apply_async(_forever.wait)
    pool.close()
    return pool


def calls(executor: Any, pool: Any) -> Iterator[tuple[str, Callable[[], Callable[[], object]]]]:
    """Names, and what prepares a call that blocks for ever."""
    running = executor.submit(_forever.wait)
    waiting = concurrent.futures.Future[int]()
    result = pool.apply_async(_forever.wait)
    yield "Lock.acquire", lambda: locked(threading.Lock()).acquire
    yield "RLock.acquire", lambda: held_by_another(threading.RLock()).acquire
    yield "Condition.wait", lambda: lambda: wait_on(threading.Condition())
    yield "Condition.wait_for", lambda: lambda: wait_on(threading.Condition(), lambda: False)
    yield "Event.wait", lambda: threading.Event().wait
    yield "Semaphore.acquire", lambda: threading.Semaphore(0).acquire
    yield "BoundedSemaphore.acquire", lambda: locked(threading.BoundedSemaphore(1)).acquire
    yield "Barrier.wait", lambda: threading.Barrier(2).wait
    for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
        yield f"{name}.get", lambda name=name: getattr(queue, name)().get  # type: ignore[misc]
    yield "Queue.put", lambda: partial(full_queue().put, 2)
    yield "Queue.join", lambda: full_queue().join
    yield "Thread.join", lambda: started().join
    yield "Future.result", lambda: running.result
    yield "Future.exception", lambda: running.exception
    yield "Future.result, by hand", lambda: waiting.result
    yield "wait", lambda: lambda: concurrent.futures.wait([running])
    yield "wait, both kinds", lambda: lambda: concurrent.futures.wait([running, waiting])
    yield "as_completed", lambda: lambda: next(concurrent.futures.as_completed([running]))
    yield "executor.map", lambda: executor.map(lambda _: _forever.wait(), [1]).__next__
    yield "executor.shutdown", lambda: busy_executor().shutdown
    yield "executor.submit, queue full", lambda: partial(full_executor().submit, _forever.wait)
    yield (
        "executor.submit, queue full, timeout",
        lambda: partial(full_executor().options(timeout=3600).submit, _forever.wait),
    )
    yield "AsyncResult.get", lambda: result.get
    yield "AsyncResult.wait", lambda: result.wait
    yield "ThreadPool.map", lambda: lambda: pool.map(lambda _: _forever.wait(), [1])
    yield "ThreadPool.imap", lambda: pool.imap(lambda _: _forever.wait(), [1]).__next__
    yield "ThreadPool.join", lambda: busy_pool().join


# Calls that sleep on CPython's own locks, whoever calls them. Those lose a signal that comes after the GIL was let go
# of and before the thread is asleep, so that a second one has to be sent now and then.
STOCK_LOCKS = {"Lock.acquire", "RLock.acquire"}
if sys.version_info < (3, 13):
    STOCK_LOCKS |= {"Thread.join", "executor.shutdown", "ThreadPool.join"}


def interrupt_after(delay: float, again: bool, ended: threading.Event) -> None:
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGINT)
    while again and not ended.wait(1):
        os.kill(os.getpid(), signal.SIGINT)


def is_interrupted(call: Callable[[], object], delay: float, again: bool) -> bool:
    """Whether KeyboardInterrupt ended the call."""
    ended = threading.Event()
    sender = threading.Thread(target=interrupt_after, args=(delay, again, ended), daemon=True)
    try:
        sender.start()
        call()
    except KeyboardInterrupt:
        ended.set()
        return True
    return False


def main() -> None:
    random_delay = random.Random(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    executor = concurrent.futures.ThreadPoolExecutor(1)
    pool = multiprocessing.pool.ThreadPool(1)
    for name, prepare in calls(executor, pool):
        for _ in range(ROUNDS):
            call = prepare()
            faulthandler.dump_traceback_later(60, exit=True)
            delay = random_delay.uniform(0, LONGEST_DELAY)
            if not is_interrupted(call, delay, name in STOCK_LOCKS):
                sys.exit(f"{name} returned")
            faulthandler.cancel_dump_traceback_later()
        print(name, flush=True)
    print("end", flush=True)
    _forever.set()


if __name__ == "__main__":
    main()
