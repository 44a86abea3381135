"""Workers killed at random moments, from seeds: every task returns or fails with the right error, and none hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STORM = '''\
import gc, json, multiprocessing as mp, os, random, signal, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
warnings.simplefilter("ignore")
WAYS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT]

def work(number):
    return sum(range(number * 100)), bytes(number)

def held():
    maps = open("/proc/self/maps").read()
    return len(os.listdir("/proc/self/fd")), maps.count("memfd:"), maps.count("/dev/shm")

class Killer:
    """Kills workers, `most` at the utmost, while the block runs."""
    def __init__(self, seed, pids, most):
        self.choose, self.pids, self.most, self.stop = random.Random(seed), pids, most, threading.Event()
        self.thread = threading.Thread(target=self.run)
    def run(self):
        while self.most and not self.stop.wait(self.choose.random() * 0.01):
            try:
                pids = self.pids()
                if pids:
                    os.kill(self.choose.choice(pids), self.choose.choice(WAYS))
                    self.most -= 1
            except ProcessLookupError:
                pass
    def __enter__(self):
        self.thread.start()
    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()

def sizes(choose, many):
    return [choose.randrange(100_000 if choose.random() < 0.02 else 200) for _ in range(many)]

def storm_over_pool(seed, method):
    choose, lost = random.Random(seed), 0
    pool = mp.get_context(method).Pool(3)
    with Killer(seed, lambda: [each.pid for each in list(pool._pool)], 30):
        for number, result in [(number, pool.apply_async(work, (number,))) for number in sizes(choose, 300)]:
            try:
                assert result.get(40) == work(number)
            except mp.ProcessError as error:  # a TimeoutError is one, too: that would be a hang
                # Where starting takes long, the kills may hit one worker after the other before its first task.
                gave_up = error.exitcode is None and "no worker process lives to its first task" in str(error)
                assert type(error).__name__ == "WorkerLostError" and (gave_up or error.exitcode < 0), error
                lost += 1
    pool.close()
    pool.join()
    return lost

def storm_over_executor(seed, method):
    choose, broken = random.Random(seed), 0
    executor = ProcessPoolExecutor(3, mp_context=mp.get_context(method))
    futures = []
    with Killer(seed, lambda: list(executor._processes or ()), 1):
        try:
            for number in sizes(choose, 300):
                futures.append((number, executor.submit(work, number)))
        except BrokenProcessPool:
            pass
        for number, future in futures:
            try:
                assert future.result(40) == work(number)
            except BrokenProcessPool:
                broken += 1
    executor.shutdown()
    return broken

if __name__ == "__main__":
    method, seeds = sys.argv[1], range(*map(int, sys.argv[2:]))
    def storms(seeds):
        return sum(storm_over_pool(seed, method) + storm_over_executor(seed, method) for seed in seeds)
    storms([seeds[0]])
    gc.collect()
    before = held()
    lost = storms(seeds)
    gc.collect()
    print(json.dumps([lost, before, held(), len(mp.active_children())]))
'''


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_storm_of_kills_loses_only_the_tasks_that_ran_and_leaves_nothing(method: str, tmp_path: Path) -> None:
    script = tmp_path / "storm.py"
    script.write_text(STORM)
    done = subprocess.run(
        [sys.executable, "-m", "triga", str(script), method, "1", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what the killed say
        text=True,
        timeout=100,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("TRIGA")},
    )
    assert done.returncode == 0
    lost, before, after, children = json.loads(done.stdout)
    assert lost > 0, "no kill hit a task: not a storm"
    assert [now <= then for now, then in zip(after, before, strict=True)] == [True] * 3, (before, after)
    assert children == 0
