"""A batch job over real files on several cores: makes a corpus, then counts, hashes and compresses every file of it.

A multiprocessing.Pool writes the corpus; a ProcessPoolExecutor reads each file, counts its words, hashes it and writes
it compressed; the results are merged as they come and checked against the corpus. Standard library only.

    python batch_job.py [--files 200] [--kilobytes 48] [--workers N] [--folder DIR]
"""

import argparse
import hashlib
import multiprocessing
import os
import random
import re
import string
import sys
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

WORD = re.compile(rb"[a-z]+")


def vocabulary():
    """The words that the corpus is written in, the early ones more often than the late ones."""
    choose = random.Random(1)
    words = {"".join(choose.choices(string.ascii_lowercase, k=choose.randint(2, 10))) for _ in range(2000)}
    return sorted(words)


def write_file(path, number, size):
    """Writes one file of about ``size`` bytes; returns its name, its number of words and its SHA-256."""
    choose = random.Random(number)
    words = vocabulary()
    weights = [1 / (rank + 1) for rank in range(len(words))]
    picked = choose.choices(words, weights, k=size // 7)
    lines = (" ".join(picked[at : at + 12]) for at in range(0, len(picked), 12))
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(content)
    return path.name, len(picked), hashlib.sha256(content).hexdigest()


def digest_file(path):
    """Reads one file; writes it compressed; returns its name, word counts, SHA-256 and compressed size."""
    content = path.read_bytes()
    counts = Counter(word.decode() for word in WORD.findall(content))
    packed = zlib.compress(content, level=6)
    path.with_suffix(".z").write_bytes(packed)
    return path.name, counts, hashlib.sha256(content).hexdigest(), len(packed)


def make_corpus(folder, files, size, workers):
    """File name to (number of words, SHA-256), as the writers know them."""
    jobs = [(folder / f"{number:04}.txt", number, size) for number in range(files)]
    with multiprocessing.Pool(workers) as pool:
        return {name: (words, digest) for name, words, digest in pool.starmap(write_file, jobs)}


def process_corpus(folder, workers):
    """The merged word counts, the compressed size, and file name to (number of words, SHA-256) as read."""
    total, packed, seen = Counter(), 0, {}
    with ProcessPoolExecutor(workers) as executor:
        futures = [executor.submit(digest_file, path) for path in sorted(folder.glob("*.txt"))]
        for future in as_completed(futures):
            name, counts, digest, size = future.result()
            total.update(counts)
            packed += size
            seen[name] = (counts.total(), digest)
    return total, packed, seen


def unpacked_wrong(folder, corpus):
    """How many of the compressed files do not unpack to what was written."""
    packed = ((name, (folder / name).with_suffix(".z").read_bytes()) for name in corpus)
    return sum(hashlib.sha256(zlib.decompress(content)).hexdigest() != corpus[name][1] for name, content in packed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--kilobytes", type=int, default=48, help="of each file")
    parser.add_argument("--workers", type=int, default=max(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--folder", type=Path, help="where the files are written; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        start = time.perf_counter()
        corpus = make_corpus(folder, options.files, options.kilobytes * 1024, options.workers)
        middle = time.perf_counter()
        total, packed, seen = process_corpus(folder, options.workers)
        end = time.perf_counter()
        wrong = unpacked_wrong(folder, corpus) + (seen != corpus)
    common = ", ".join(f"{word} {count}" for word, count in total.most_common(3))
    print(f"{len(seen)} files, {total.total()} words, {packed} bytes compressed, {wrong} wrong; most common: {common}")
    print(f"timing: corpus {middle - start:.3f} s, processing {end - middle:.3f} s", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
