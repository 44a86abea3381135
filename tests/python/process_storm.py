"""Worker processes that die at random moments, from seeds, under load: a program for the tests of storms.

    python -m triga process_storm.py METHOD DEATHS SEED...

Every task has to return what it should or fail with the right error, and nothing may hang or be left. Prints one line
of JSON: {"deaths": ..., "lost": ..., "retried": ..., "before": [...], "after": [...]}; an assertion fails otherwise.
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing as mp
import os
import random
import resource
import signal
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import triga

PATIENCE = 60  # seconds after which a result that is not there counts as lost
FROM_OUTSIDE = [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT]
EXIT_CODE = 7


def work(number):
    return sum(range(number * 100)), bytes(number)


def leave():
    os._exit(EXIT_CODE)


def crash():
    ctypes.string_at(0)


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is short


def run_out_of_memory():
    limits = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + (8 << 20), limits[1]))
    try:
        return len(bytearray(1 << 30))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


FATAL = {leave: EXIT_CODE, crash: -signal.SIGSEGV, be_killed: -signal.SIGKILL}


def calls(choose, many):
    """Tasks: mostly small ones that work, some large, some that end their worker or have no memory."""
    for _ in range(many):
        dice = choose.random()
        if dice < 0.04:
            yield choose.choice(list(FATAL)), ()
        elif dice < 0.05:
            yield run_out_of_memory, ()
        else:
            yield work, (choose.randrange(100_000 if dice < 0.07 else 200),)


class Killer:
    """Kills workers, ``most`` at the utmost, while the block runs."""

    def __init__(self, choose, pids, most):
        self._choose, self._pids, self._most = choose, pids, most
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while self._most and not self._stop.wait(self._choose.random() * 0.01):
            pids = self._pids()
            if pids:
                try:
                    os.kill(self._choose.choice(pids), self._choose.choice(FROM_OUTSIDE))
                    self._most -= 1
                except ProcessLookupError:
                    pass

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()


def check(function, arguments, get):
    """1 if the task was lost, as it should have been or as its worker was killed; 0 if it returned what it should."""
    try:
        assert get() == work(*arguments) and function is work, function
        return 0
    except MemoryError:
        assert function is run_out_of_memory, function
        return 0
    except triga.WorkerLostError as error:
        # Where starting takes long, the kills may hit one worker after the other before its first task.
        if error.exitcode is None:
            assert "no worker process lives to its first task" in str(error), error
        else:
            outside = error.exitcode in [-each for each in FROM_OUTSIDE]
            assert outside or error.exitcode == FATAL.get(function), (function, error)
            assert function.__name__ in str(error), (function, error)
        return 1


def storm_over_pool(choose, method, rounds):
    lost = 0
    pool = mp.get_context(method).Pool(3)
    with Killer(choose, lambda: [each.pid for each in list(pool._pool)], rounds):
        results = [(*call, pool.apply_async(*call)) for call in calls(choose, 10 * rounds)]
        for function, arguments, result in results:
            lost += check(function, arguments, lambda result=result: result.get(PATIENCE))
    pool.close()
    pool.join()
    return lost


def storm_over_surviving_executor(choose, method, rounds):
    lost = 0
    kind = triga.ProcessPoolExecutor  # by this name its keywords are known
    executor = kind(3, mp_context=mp.get_context(method), on_crash="replace")
    with Killer(choose, lambda: list(executor._processes or ()), rounds):
        futures = [(*call, executor.submit(call[0], *call[1])) for call in calls(choose, 10 * rounds)]
        for function, arguments, future in futures:
            lost += check(function, arguments, lambda future=future: future.result(PATIENCE))
    executor.shutdown()
    return lost


def storm_over_executor(choose, method):
    broken = 0
    executor = ProcessPoolExecutor(3, mp_context=mp.get_context(method))
    futures = []
    with Killer(choose, lambda: list(executor._processes or ()), 1):
        try:
            for number in range(200):
                futures.append((number, executor.submit(work, number)))
        except BrokenProcessPool:
            pass
        for number, future in futures:
            try:
                assert future.result(PATIENCE) == work(number)
            except BrokenProcessPool:
                broken += 1
    executor.shutdown()
    return broken


def storm(seed, method, rounds):
    choose = random.Random(seed)
    return (
        storm_over_pool(choose, method, rounds)
        + storm_over_surviving_executor(choose, method, rounds)
        + storm_over_executor(choose, method)
    )


def children():
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += int(stat.read_text().rpartition(") ")[2].split()[1]) == os.getpid()
    return found


def held():
    """Descriptors, shared mappings, files in /dev/shm, child processes."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    mine = list(Path("/dev/shm").glob(f"*{os.getpid()}*"))
    descriptors = list(Path("/proc/self/fd").iterdir())
    return [len(descriptors), maps.count("memfd:") + maps.count("/dev/shm"), len(mine), children()]


def main(method, deaths, seeds):
    warnings.simplefilter("ignore")
    storm(seeds[0], method, 5)  # what is made once is there from now on
    before, lost, start = held(), 0, triga.stats()["processes_died"]
    rounds = max(10, deaths // (4 * len(seeds)))
    died = 0
    turn = 0
    while died < deaths or turn < len(seeds):
        lost += storm(seeds[turn % len(seeds)] + turn * 1000, method, rounds)
        turn += 1
        died = triga.stats()["processes_died"] - start
    # The zygote fills its reserve again in its own time.
    after = held()
    print(json.dumps({"deaths": died, "lost": lost, "before": before, "after": after}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(seed) for seed in sys.argv[3:]])
