"""Files by the thousand: the standard library's way on its arm, triga.files on triga's."""

import hashlib
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meter import main, table


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _write(folder, count, size=1 << 20):
    """Different files; one of them is written for warmth's sake before they are read."""
    paths = [Path(folder, str(number)) for number in range(count)]
    block = os.urandom(size)
    for number, path in enumerate(paths):
        path.write_bytes(number.to_bytes(8, "little") + block[8:])
    return paths


def _hash_all(meter, paths, workers):
    if meter.arm == "triga":
        from triga import files

        return files.hash_files(paths, "sha256", workers=workers)
    with ThreadPoolExecutor(workers) as executor:
        return list(executor.map(_digest, paths))


def _hash_scenario(meter, workers):
    # Beside the checkout, not in /tmp: that may be memory, of which a GiB is much.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parents[2] / "build") as folder:
        paths = _write(folder, meter.n(1_000, least=16))
        _hash_all(meter, paths, workers)  # the page cache is warm on every arm
        with meter(len(paths)):
            digests = _hash_all(meter, paths, workers)
        assert len(set(digests)) == len(paths)


def hash_1_core(meter):
    """SHA-256 of files of 1 MiB on one thread: one operation is a file."""
    _hash_scenario(meter, 1)


def hash_2_cores(meter):
    """The same on two."""
    _hash_scenario(meter, 2)


def python_beside(meter):
    """How late a Python thread that wants to run every millisecond is, while files are hashed: the 99th percentile."""
    late, done = [], threading.Event()

    def tick():
        while not done.is_set():
            due = time.perf_counter() + 0.001
            time.sleep(0.001)
            late.append(time.perf_counter() - due)

    with tempfile.TemporaryDirectory(dir=Path(__file__).parents[2] / "build") as folder:
        paths = _write(folder, meter.n(500, least=16))
        ticking = threading.Thread(target=tick)
        ticking.start()
        cpu = time.process_time()
        _hash_all(meter, paths, 2)
        cpu = time.process_time() - cpu
        done.set()
        ticking.join()
    late.sort()
    at = late[int(0.99 * (len(late) - 1))]
    print(f'{{"operations": 1, "seconds": {at:.9f}, "cpu": {cpu / len(late):.9f}}}', flush=True)


if __name__ == "__main__":
    main(table(hash_1_core, hash_2_cores, python_beside))
