"""Large arguments and results of process pools: they arrive as they were, whatever way they take.

Each case is a script of its own, run by a fresh interpreter under the standard library and under triga.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """\
import multiprocessing as mp, os, pickle, struct, sys
from concurrent.futures import ProcessPoolExecutor
MIB = 1 << 20
def report(*values):
    import json
    print(json.dumps(values), flush=True)
def echo(value):
    return value
class Buffer:
    "Travels out of band."
    def __init__(self, memory):
        self.memory = memoryview(memory)
    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.memory) if protocol > 4 else bytearray(self.memory),)
def executor_of(workers=1, method="fork"):
    return ProcessPoolExecutor(workers, mp_context=mp.get_context(method))
"""


@pytest.fixture(params=["stdlib", "triga"])
def run(request: pytest.FixtureRequest, tmp_path: Path):
    """A function that runs a script's text and returns what it reported, line by line."""

    def run_script(text: str, **environment: str) -> list[object]:
        script = tmp_path / "script.py"
        script.write_text(PRELUDE + textwrap.dedent(text))
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "TRIGA": "1" if request.param == "triga" else "0", **environment},
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run_script


def test_large_bytes_go_there_and_back_beside_all_else(run) -> None:
    script = """\
        def check(first, again, text, array, last, small):
            same = first == b"a" * len(first), bytes(array.memory) == b"b" * MIB, last == b"c" * (MIB + 1)
            return (first is again, len(first), len(text), *same, small), [last, array, first, first]
        if __name__ == "__main__":
            first = b"a" * (3 * MIB)
            with executor_of() as executor:
                said, (last, array, one, other) = executor.submit(
                    check, first, first, "d" * MIB, Buffer(bytearray(b"b" * MIB)), b"c" * (MIB + 1), b"e" * 100
                ).result()
            report(said[:6], said[6] == b"e" * 100)
            report(type(last).__name__, last == b"c" * (MIB + 1), bytes(array.memory) == b"b" * MIB)
            report(one == first, one is other)
    """
    assert run(script) == [
        [[True, 3 << 20, 1 << 20, True, True, True], True],
        ["bytes", True, True],
        [True, True],
    ]


# Bytes are taken out of the pickle by what the pickler writes before them. What looks like a frame of the pickle, and
# parts of it that look like the announcement of such bytes, have to stay as they are.
def test_bytes_that_look_like_a_part_of_the_pickle_arrive(run) -> None:
    script = """\
        if __name__ == "__main__":
            frame = b"\\x95" + struct.pack("<Q", MIB - 9) + bytes(MIB - 9)
            announced = b"x" * 20 + b"B" + struct.pack("<I", MIB)
            opcode = int.from_bytes(b"...B" + struct.pack("<I", MIB)[:4], "little")
            values = [frame, announced, b"y" * MIB, opcode, b"z" * MIB, bytearray(b"B" * MIB), "B" * MIB, b"", frame]
            with executor_of() as executor:
                report(executor.submit(echo, values).result() == values)
                report([executor.submit(echo, value).result() == value for value in values])
    """
    assert run(script) == [[True], [[True] * 9]]


# The memory of a payload is used for the next one as soon as its receiver has dropped it, and no sooner.
def test_results_that_are_kept_do_not_change(run) -> None:
    script = """\
        def fill(number):
            return Buffer(bytearray(bytes([number])) * MIB)
        def double(given):
            given.memory[:10] = b"0123456789"
            return given
        if __name__ == "__main__":
            with executor_of(2) as executor:
                kept = []
                for number in range(30):
                    given = executor.submit(fill, number).result()
                    if number % 3 == 0:
                        kept.append((number, given))
                    changed = executor.submit(double, given).result()
                    assert bytes(changed.memory[:12]) == b"0123456789" + bytes([number]) * 2
                report(all(bytes(given.memory) == bytes([number]) * MIB for number, given in kept))
            report(all(bytes(given.memory) == bytes([number]) * MIB for number, given in kept))
    """
    assert run(script) == [[True], [True]]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_large_items_of_a_map_keep_their_order(run, method) -> None:
    script = f"""\
        if __name__ == "__main__":
            values = [bytes([number]) * (2 * MIB + number) for number in range(12)]
            with mp.get_context("{method}").Pool(2) as pool:
                report(pool.map(echo, values) == values, pool.map(echo, values, chunksize=5) == values)
                report(list(pool.imap(echo, values)) == values)
    """
    assert run(script) == [[True, True], [True]]


def test_large_bytes_in_an_object_go_through_a_queue(run) -> None:
    script = """\
        if __name__ == "__main__":
            queue, value = mp.Queue(), {"key": b"v" * (2 * MIB), "same": b"w" * MIB}
            queue.put(value)
            report(queue.get() == value)
            queue.put(b"u" * (5 * MIB))
            report(queue.get() == b"u" * (5 * MIB))
            queue.put(value)
            report(len(queue._reader.recv_bytes()) > 3 * MIB)
    """
    assert run(script) == [[True], [True], [True]]


@pytest.mark.parametrize("text", ["-1", "much"])
def test_a_pool_says_what_is_wrong_with_the_memory_it_is_to_keep(run, request, text) -> None:
    if request.node.callspec.params["run"] == "stdlib":
        pytest.skip("the variable is triga's")
    script = """\
        if __name__ == "__main__":
            try:
                mp.get_context("fork").Pool(1)
            except ValueError as error:
                report(str(error))
    """
    expected = f"TRIGA_POOL_MEMORY='{text}': a number of bytes that a pool keeps, 0 for none"
    assert run(script, TRIGA_POOL_MEMORY=text) == [[expected]]


def test_a_pool_that_is_to_keep_no_memory_works(run) -> None:
    script = """\
        if __name__ == "__main__":
            with executor_of() as executor:
                report([executor.submit(echo, b"x" * size).result() == b"x" * size for size in (MIB, 3 * MIB, 2 * MIB)])
    """
    assert run(script, TRIGA_POOL_MEMORY="0") == [[[True, True, True]]]


# RLIMIT_FSIZE makes writes to shared memory fail as they do on a machine that has none left (EFBIG in place of ENOSPC),
# but for the rings, which are mapped: small tasks go on.
@pytest.mark.parametrize("kind", ["executor", "pool"])
def test_a_machine_without_memory_fails_the_task_and_the_pool_goes_on(run, request, kind) -> None:
    if request.node.callspec.params["run"] == "stdlib":
        pytest.skip("the standard library sends through pipes")
    script = f"""\
        import errno, resource
        def limit(bytes):
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))
        def grown(size):
            return b"x" * size
        def error_of(call):
            try:
                call()
            except Exception as error:
                return str(error)
        if __name__ == "__main__":
            context = mp.get_context("fork")
            if {kind == "executor"}:
                pool = executor_of()
                call = lambda function, *arguments: pool.submit(function, *arguments).result()
            else:
                pool = context.Pool(1)
                call = lambda function, *arguments: pool.apply(function, arguments)
            with pool:
                report(call(len, b"x" * MIB))
                limit(1000)
                report(error_of(lambda: call(len, b"x" * 2 * MIB)), call(len, b"x"))
                limit(resource.RLIM_INFINITY)
                report(call(len, b"x" * MIB))
                call(limit, 1000)
                report(error_of(lambda: call(grown, 2 * MIB)), call(len, b"x"))
                call(limit, resource.RLIM_INFINITY)
                report(len(call(grown, MIB)))
    """
    (first,), (there, one), (again,), (back, still), (last,) = run(script)
    assert (first, one, again, still, last) == (1 << 20, 1, 1 << 20, 1, 1 << 20)
    where = "into shared memory (the machine's, not /dev/shm): File too large"
    task = "a task" if kind == "executor" else "builtins.len"
    assert there == f"[Errno 27] cannot put the arguments of {task} {where}"
    assert "[Errno 27] cannot put a result of " in back or "OSError(27, " in back
    assert where in back.replace("\\'", "'")


# Bytes that a task was given and gives back do not change, so the answer names the shared memory that they came in. The
# memory has an owner at every moment, so nobody finds there what another task has sent since.
@pytest.mark.parametrize("kind", ["executor", "pool"])
def test_bytes_that_come_back_as_they_were_are_right_each_time(run, request, kind) -> None:
    script = f"""\
        LAST = []
        def keep(value):
            LAST.append(value)
            return value
        def kept(index):
            return LAST[index]
        def twice(value):
            return [value, value, value[:-1] + b"!"]
        def after_fork(value):
            if (child := os.fork()) == 0:
                os._exit(0)
            os.waitpid(child, 0)
            return value
        def nested(value):
            with ProcessPoolExecutor(1, mp_context=mp.get_context("fork")) as inner:
                return inner.submit(echo, value).result(), value
        if __name__ == "__main__":
            if {kind == "executor"}:
                pool = executor_of()
                call = lambda function, *arguments: pool.submit(function, *arguments).result()
            else:
                pool = mp.get_context("fork").Pool(1)
                call = lambda function, *arguments: pool.apply(function, arguments)
            sent = [bytes([i]) * (2 * MIB + i) for i in range(8)]
            with pool:
                report(*[call(echo, each) == each for each in sent])
                report(*[call(keep, each) == each for each in sent])
                report(*[call(kept, i) == each for i, each in enumerate(sent)])
                report(*[call(twice, each) == [each, each, each[:-1] + b"!"] for each in sent])
                report(*[call(after_fork, each) == each for each in sent])
                if {kind == "executor"}:
                    report(*[call(nested, each) == (each, each) for each in sent])
                if os.environ["TRIGA"] == "1":
                    import triga
                    report(triga.stats()["payloads_returned"])
    """
    results = run(script)
    if request.node.callspec.params["run"] == "triga":
        assert results.pop()[0] >= 3 * 8, "the memory was not passed back"
    assert all(all(line) for line in results) and len(results) == (6 if kind == "executor" else 5)
