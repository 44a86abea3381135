"""Process pools of a program whose ``__main__`` is in no file: ``python -c`` and standard input.

Workers started by spawn and forkserver cannot import it, so functions and classes of it are sent whole, by cloudpickle.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

METHODS = ["spawn", "forkserver"]
PROGRAM = """\
import multiprocessing as mp, sys
from concurrent.futures import ProcessPoolExecutor
context = mp.get_context(sys.argv[1])
class Point:
    def __init__(self, x):
        self.x = x
class Odd(Exception):
    pass
def double(value):
    return Point(value.x * 2) if isinstance(value, Point) else value * 2
def fail(value):
    raise Odd(value)
def say(point):
    print("begun", point.x, flush=True)
def error_of(call):
    try:
        call()
    except Exception as error:
        return type(error), str(error)
"""
POOL = """\
with context.Pool(1, say, (Point(7),)) as pool:
    print(pool.map(double, [1, 2, 3]), list(pool.imap(double, [4])), pool.apply(len, ("abc",)))
    moved = pool.apply(double, (Point(3),))
    print(type(moved) is Point, moved.x, error_of(lambda: pool.apply(fail, (5,))) == (Odd, "5"))
"""
EXECUTOR = """\
with ProcessPoolExecutor(1, mp_context=context, initializer=say, initargs=(Point(7),)) as executor:
    call = lambda *given: executor.submit(*given).result()
    print(list(executor.map(double, [1, 2, 3])), [call(lambda: double(4))], call(len, "abc"))
    moved = call(double, Point(3))
    print(type(moved) is Point, moved.x, error_of(lambda: call(fail, 5)) == (Odd, "5"))
"""
MISSING = """\
sys.modules["cloudpickle"] = None
with context.Pool(1) as pool:
    print(error_of(lambda: pool.apply(double, (1,)))[1], pool.apply(len, ("abc",)))
"""


def output_of(program: str, method: str, *, stdin: bool) -> list[str]:
    command = [sys.executable, *(["-"] if stdin else ["-c", program]), method]
    done = subprocess.run(
        command,
        input=program if stdin else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TRIGA": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("stdin", [False, True], ids=["c", "stdin"])
@pytest.mark.parametrize("body", [POOL, EXECUTOR], ids=["pool", "executor"])
@pytest.mark.parametrize("method", METHODS)
def test_functions_and_classes_of_a_main_in_no_file_are_sent_whole(method, body, stdin) -> None:
    pytest.importorskip("cloudpickle")
    assert output_of(PROGRAM + body, method, stdin=stdin) == ["begun 7", "[2, 4, 6] [8] 3", "True 6 True"]


def test_without_cloudpickle_the_error_says_what_to_do() -> None:
    assert output_of(PROGRAM + MISSING, "spawn", stdin=False) == [
        "workers cannot import double from __main__, which is in no file: put it into a module, or pip install"
        " cloudpickle, which sends it whole 3"
    ]
