"""What a program that forks again and again keeps shared with its children: see triga._processes.shared_pages."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from triga._doctor import io_uring

has_immortal_objects = pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 has no immortal objects")

PROGRAM = """\
import contextlib, decimal, multiprocessing, sys, threading, weakref

def immortal(value):
    return sys.getrefcount(value) > 1 << 28

class Kept:
    def __del__(self):
        print("kept: destroyed", flush=True)

def nothing():
    pass

if __name__ == "__main__":
    context, kept = multiprocessing.get_context("fork"), Kept()
    # A function that the standard library makes while it runs, around what is the program's own.
    made = contextlib.contextmanager(lambda held=kept: (yield held))
    for turn in range(2):
        process = context.Process(target=nothing)
        process.start()
        process.join()
        assert process.exitcode == 0
        print("forked", immortal(threading.Thread.start), immortal(threading.Thread), flush=True)
    assert immortal(list.append) and immortal(threading.Thread.name.fget)
    assert not any(map(immortal, (nothing, Kept, Kept.__del__, kept, made, made.__wrapped__)))
    assert not immortal(multiprocessing.process._children)  # what a module's containers hold may have to end
    del kept, made
    print("end of the program", flush=True)
"""


POOL = """\
import multiprocessing, sys, threading

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(pool.map(abs, [-1]), sys.getrefcount(threading.Thread.start) > 1 << 28)
"""


COPIES = """\
import multiprocessing, os, resource, sys

def faults_of_children(count):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    for _ in range(count):
        process = context.Process(target=work)
        process.start()
        process.join()
        assert process.exitcode == 0
    return (resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before) // count

def work():
    numbers[:] = [0] * len(numbers)

def nested():
    # A child that forks in turn has nothing of what its parent arranged.
    faults_of_children(5)

if __name__ == "__main__":
    context, numbers = multiprocessing.get_context("fork"), [1, 2, 3]
    faults_of_children(4)
    print(faults_of_children(4))
    process = context.Process(target=nested)
    process.start()
    process.join()
    assert process.exitcode == 0 and numbers == [1, 2, 3]
    for _ in range(20):  # what children write to is learned anew
        faults_of_children(1)
    print(faults_of_children(4))
    print(len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")))
"""


def run(tmp_path: Path, program: str, **variables: str) -> list[str]:
    script = tmp_path / "script.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TRIGA": "1", **variables},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@has_immortal_objects
def test_what_modules_define_is_immortal_once_a_program_forks_again_and_nothing_else(tmp_path: Path) -> None:
    # Each reference count that a child writes copies a page. The program's own objects must end as they always did.
    assert run(tmp_path, PROGRAM) == [
        "forked False False",
        "forked True True",
        "kept: destroyed",
        "end of the program",
    ]


@has_immortal_objects
def test_the_workers_of_one_pool_do_not_pay_for_it(tmp_path: Path) -> None:
    # It takes longer than the forks of a short program: only one whose children end and that forks again wins it back.
    assert run(tmp_path, POOL) == ["[1] False"]


def may_pin_enough() -> bool:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return soft == resource.RLIM_INFINITY or soft >= 8 << 20


@pytest.mark.skipif(io_uring() != "yes" or not may_pin_enough(), reason="io_uring cannot pin the pages")
def test_the_fork_copies_what_children_write_to_once_that_is_known(tmp_path: Path) -> None:
    # Each page that a child writes to is a page fault, unless the fork has copied it.
    *few, held = run(tmp_path, COPIES)
    *many, held_without = run(tmp_path, COPIES, TRIGA_IO="epoll")
    if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 5):  # rings without a descriptor
        assert all(int(copied) < int(written) * 0.7 for copied, written in zip(few, many, strict=True))
    assert held == held_without, "neither a descriptor nor a thread is the program's"
