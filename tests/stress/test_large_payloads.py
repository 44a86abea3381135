"""Arguments and results of more than 2 GiB: lengths that no 32 bits hold, and more than one write(2) takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SIZE = (2 << 30) + 4096 + 1
NEEDED = 14 << 30  # argument, shared memory, argument, result, shared memory, result, and some room
SCRIPT = f"""\
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
SIZE = {SIZE}
def ends(value):
    return len(value), value[:3], value[SIZE // 2 : SIZE // 2 + 3], value[-3:]
def back(value):
    return value
if __name__ == "__main__":
    value = b"abc" + bytes(SIZE - 6) + b"xyz"
    expected = (SIZE, b"abc", b"\\0\\0\\0", b"xyz")
    context = mp.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(ends, value).result() == expected
        assert ends(executor.submit(back, value).result()) == expected
        assert executor.submit(ends, bytearray(value)).result() == expected
    with context.Pool(1) as pool:
        assert pool.map(ends, [value, value[1:]], chunksize=1)[0] == expected
        assert ends(pool.apply(back, (value,))) == expected
"""


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(600)
def test_more_than_2_gib_goes_there_and_back(tmp_path) -> None:
    if _free_memory() < NEEDED:
        pytest.skip(f"it takes {NEEDED >> 30} GiB of free memory")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "triga", str(script)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, "TRIGA_POOL_MEMORY": "0"},
    )
    assert done.returncode == 0, done.stderr
