"""Pools and queues where /dev/shm is full: they need nothing there. What does need it fails with its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import errno, json, multiprocessing as mp, sys

def echo(value): return value
def put(queue): queue.put(b"y" * 3_000_000)

def in_pool(context):
    with context.Pool(2) as pool: return len(pool.apply(echo, (b"x" * (8 << 20),)))
def in_executor(context):
    # Imported only now: the processes that wait in reserve have not got it.
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        return len(executor.submit(echo, b"x" * (8 << 20)).result())
def through(queue, context):
    process = context.Process(target=put, args=(queue,))
    process.start()
    got = len(queue.get())
    process.join()
    return got

if __name__ == "__main__":
    try:
        with open("/dev/shm/filler", "wb", buffering=0) as file:
            while True: file.write(b"x" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    context = mp.get_context(sys.argv[1])
    got = [in_pool(context), through(context.Queue(), context), through(context.SimpleQueue(), context)]
    got.append(in_executor(context))
    try:
        context.Lock()
    except OSError as error:
        got.append(str(error))
    print(json.dumps(got))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_and_queues_need_nothing_in_it(tmp_path: Path, method: str) -> None:
    unshare = [shutil.which("unshare") or "", "--mount", "--propagation", "private", "sh", "-c"]
    mount = "mount -t tmpfs -o size=64k tmpfs /dev/shm"
    if not unshare[0] or subprocess.run([*unshare, mount], capture_output=True).returncode != 0:
        pytest.skip("a /dev/shm of its own takes unshare(1) and the right to mount")
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    command = [*unshare, f'{mount} && exec "$0" "$@"', sys.executable, str(script), method]
    environment = {**os.environ, "TRIGA": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [8 << 20, 3_000_000, 3_000_000, 8 << 20, "[Errno 28] No space left on device"]
