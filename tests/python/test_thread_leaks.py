"""What ten thousand threads leave behind: nothing."""

from __future__ import annotations

from tests.python.test_threads import run_program

COUNT = """
import os, threading, triga

def left():
    return {what: len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task")} | {
        "maps": sum(1 for _ in open("/proc/self/maps"))}

def start(count, at_once):
    for _ in range(count // at_once):
        threads = [threading.Thread(target=int) for _ in range(at_once)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()

start(400, 1); start(400, 20)
triga._core.end_idle_threads()
before = left()
start(5000, 1); start(5000, 20)
triga._core.end_idle_threads()
after = left()
print(before["fd"] == after["fd"], before["task"] == after["task"] == 1, after["maps"] - before["maps"])
print(threading.active_count(), triga.stats()["threads_started"] + triga.stats()["threads_reused"])
"""


def test_ten_thousand_threads_leave_no_descriptor_mapping_or_thread() -> None:
    done = run_program(COUNT)
    assert (done.returncode, done.stderr) == (0, "")
    descriptors, threads, mappings, active, started = done.stdout.split()
    assert (descriptors, threads, active, started) == ("True", "True", "1", "10800")
    # The C library and Python's allocator map a little more or less as they please, never a stack for each thread.
    assert abs(int(mappings)) <= 8
