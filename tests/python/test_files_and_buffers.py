"""triga.files and triga.buffers: many items, in order, by threads that never take the GIL."""

from __future__ import annotations

import array
import errno
import gzip
import hashlib
import mmap
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

import triga
from triga import buffers, files

TEXTS = [bytes([at % 251]) * (at * 37 % 5000) for at in range(300)]


@pytest.fixture(name="paths")
def written_files(tmp_path: Path) -> list[Path]:
    """One file for each of TEXTS."""
    paths = [tmp_path / f"file{at}" for at in range(len(TEXTS))]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_bytes(text)
    return paths


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_files_are_read_in_order(paths: list[Path], workers: int) -> None:
    before = triga.stats()["files_read"]
    assert files.read_files(paths, workers=workers) == TEXTS
    assert triga.stats()["files_read"] == before + len(TEXTS)


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5", "sha512", "blake2b", "blake2s", "sha3_256"])
def test_digests_are_those_of_hashlib(paths: list[Path], algorithm: str) -> None:
    before = triga.stats()["items_hashed"]
    expected = [hashlib.new(algorithm, text).digest() for text in TEXTS]
    assert files.hash_files(paths, algorithm) == expected
    assert buffers.hash_buffers(TEXTS, algorithm, workers=3) == expected
    assert triga.stats()["items_hashed"] == before + 2 * len(TEXTS)


def test_paths_of_every_kind_and_none(paths: list[Path]) -> None:
    given = [str(paths[1]), os.fsencode(paths[2]), paths[3]]
    assert files.read_files(given) == TEXTS[1:4]
    assert files.read_files([]) == files.hash_files([]) == buffers.hash_buffers([]) == []
    with pytest.raises(TypeError, match="paths: expected several paths, got one 'str'"):
        files.read_files("name")
    with pytest.raises(TypeError):
        files.read_files([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="null byte"):
        files.hash_files(["a\0b"])


def test_files_without_a_size_and_empty_ones(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    empty, status = files.read_files([tmp_path / "empty", "/proc/self/status"])
    assert empty == b""
    assert status.startswith(b"Name:")


@pytest.mark.parametrize("function", [files.read_files, files.hash_files])
def test_a_files_error_has_its_name(paths: list[Path], tmp_path: Path, function: Callable[..., list[Any]]) -> None:
    mixed = [paths[0], tmp_path / "none", tmp_path, paths[1]]
    with pytest.raises(FileNotFoundError) as caught:
        function(mixed)
    assert caught.value.filename == tmp_path / "none"
    assert caught.value.errno == errno.ENOENT
    first, missing, folder, second = function(mixed, return_exceptions=True)
    assert [first, second] == function([paths[0], paths[1]])
    assert isinstance(missing, FileNotFoundError)
    assert isinstance(folder, IsADirectoryError)


def test_unknown_algorithms() -> None:
    with pytest.raises(ValueError, match="unsupported hash type nonesuch"):
        buffers.hash_buffers([b""], "nonesuch")
    with pytest.raises(ValueError, match="digests of any length"):
        files.hash_files([], "shake128")
    with pytest.raises(ValueError, match="unknown compression 'lzma'; known are 'zlib' and 'zstd'"):
        buffers.compress_buffers([], "lzma")
    with pytest.raises(ValueError, match="level: expected 0 to 9 for zlib, got 10"):
        buffers.compress_buffers([b""], level=10)


def test_zlib_both_ways_with_the_standard_module() -> None:
    before = triga.stats()
    packed = buffers.compress_buffers(TEXTS)
    assert [zlib.decompress(each) for each in packed] == TEXTS
    assert buffers.decompress_buffers([zlib.compress(text, 9) for text in TEXTS]) == TEXTS
    assert buffers.decompress_buffers([gzip.compress(text) for text in TEXTS[:5]]) == TEXTS[:5]
    after = triga.stats()
    assert after["items_compressed"] == before["items_compressed"] + len(TEXTS)
    assert after["items_expanded"] == before["items_expanded"] + len(TEXTS) + 5


def test_zstd_both_ways() -> None:
    packed = buffers.compress_buffers(TEXTS, "zstd", 5)
    assert all(each.startswith(b"\x28\xb5\x2f\xfd") for each in packed)
    assert buffers.decompress_buffers(packed, "zstd") == TEXTS
    assert buffers.decompress_buffers([packed[7] + packed[8]], "zstd") == [TEXTS[7] + TEXTS[8]]
    if sys.version_info >= (3, 14):
        zstd = pytest.importorskip("compression.zstd")
        assert [zstd.decompress(each) for each in packed[:9]] == TEXTS[:9]
        assert buffers.ZstdError is zstd.ZstdError


@pytest.mark.parametrize(("algorithm", "error"), [("zlib", zlib.error), ("zstd", buffers.ZstdError)])
def test_rubbish_is_refused_item_by_item(algorithm: str, error: type[Exception]) -> None:
    good = buffers.compress_buffers([b"text" * 100], algorithm)[0]
    with pytest.raises(error, match=r"buffers\[1\]: "):
        buffers.decompress_buffers([good, b"rubbish"], algorithm)
    given = [b"", good, good[:-3], good + b"more"]
    empty, text, short, long = buffers.decompress_buffers(given, algorithm, return_exceptions=True)
    assert text == b"text" * 100
    assert all(isinstance(each, error) for each in (empty, short, long))
    with pytest.raises(error, match="larger than max_size"):
        buffers.decompress_buffers([good], algorithm, max_size=399)
    assert buffers.decompress_buffers([good], algorithm, max_size=400) == [b"text" * 100]


def test_buffers_of_every_kind(tmp_path: Path) -> None:
    with mmap.mmap(-1, 4096) as mapped:
        given = [b"bytes", bytearray(b"array"), memoryview(b"view"), array.array("d", [1.0]), mapped]
        expected = [hashlib.sha256(each).digest() for each in given]
        assert buffers.hash_buffers(given) == expected
    for function in (buffers.hash_buffers, buffers.compress_buffers, buffers.decompress_buffers):
        with pytest.raises(TypeError, match=r"buffers\[1\]: a bytes-like object is required, not 'str'"):
            function([b"", "text"])
        with pytest.raises(BufferError, match=r"buffers\[0\]: expected a C-contiguous buffer"):
            function([memoryview(bytes(8))[::2]])


def test_work_that_was_cancelled_before_is_not_begun(paths: list[Path]) -> None:
    cancel = triga.Cancellation()
    cancel.cancel()
    before = triga.stats()["files_read"]
    for call in (
        lambda: files.read_files(paths, cancel=cancel),
        lambda: files.hash_files(paths, cancel=cancel),
        lambda: buffers.compress_buffers(TEXTS, cancel=cancel),
    ):
        with pytest.raises(CancelledError):
            call()
    assert triga.stats()["files_read"] == before
    with pytest.raises(TypeError, match=r"expected a triga\.Cancellation"):
        files.read_files(paths, cancel=threading.Event())  # type: ignore[arg-type]


# /dev/zero never ends: only the look between two blocks can stop it.
def test_cancelling_stops_in_the_middle_of_a_file() -> None:
    cancel = triga.Cancellation()
    timer = threading.Timer(0.05, cancel.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        files.hash_files(["/dev/zero"] * 2, cancel=cancel)
    timer.join()


def test_ctrl_c_stops_in_the_middle_of_a_file() -> None:
    program = """
import os, signal, threading
from triga import files
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    files.hash_files(["/dev/zero"] * 3, workers=2)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    # The main thread is in the middle of a file of its own, which Ctrl-C has to end, too.
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_python_threads_go_on_meanwhile(tmp_path: Path) -> None:
    data = [bytes(4 << 20)] * 16
    steps, done = 0, threading.Event()

    def count() -> None:
        nonlocal steps
        while not done.is_set():
            steps += 1

    counting = threading.Thread(target=count)
    counting.start()
    try:
        before = steps
        buffers.hash_buffers(data, "sha512")
        made = steps - before
    finally:
        done.set()
        counting.join()
    # 64 MiB take tenths of a second; a thread that waited for the GIL meanwhile would make next to none.
    assert made > 1000


def test_progress_is_shown_on_a_terminal_only(paths: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    from triga._native.loops import progress_on

    files.hash_files(paths, progress=True)
    assert capsys.readouterr().err == ""

    class Terminal:
        def __init__(self) -> None:
            self.text = ""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    terminal = Terminal()
    tick = progress_on(terminal, "files", 3)
    assert tick is not None
    for done in (1, 1, 3):
        tick(done)
    assert terminal.text == "\rfiles 1/3\rfiles 3/3\n"
