"""What a program that forks again and again keeps shared with its children: see triga._processes.shared_pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 has no immortal objects")

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


def run(tmp_path: Path, program: str) -> list[str]:
    script = tmp_path / "script.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TRIGA": "1"},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_what_modules_define_is_immortal_once_a_program_forks_again_and_nothing_else(tmp_path: Path) -> None:
    # Each reference count that a child writes copies a page. The program's own objects must end as they always did.
    assert run(tmp_path, PROGRAM) == [
        "forked False False",
        "forked True True",
        "kept: destroyed",
        "end of the program",
    ]


def test_the_workers_of_one_pool_do_not_pay_for_it(tmp_path: Path) -> None:
    # It takes longer than the forks of a short program: only one whose children end and that forks again wins it back.
    assert run(tmp_path, POOL) == ["[1] False"]
