"""triga.aio: files by io_uring and by threads, against Python's own files."""

from __future__ import annotations

import asyncio
import io
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import triga
from triga import _core, aio


@pytest.fixture(params=["kernel", "threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Runs a test twice: with io_uring, and with threads in its place."""
    made = _core.FileQueue

    def of_threads(loop: Any) -> Any:
        return made(loop, False)

    if request.param == "threads":
        monkeypatch.setattr(_core, "FileQueue", of_threads)
    else:
        loop = triga.new_event_loop()
        queue = made(loop)
        of_kernel = queue.is_of_kernel()
        queue.close()
        loop.close()
        if not of_kernel:
            pytest.skip("no io_uring here")
    yield request.param


def running_queue() -> Any:
    """The queue of the running loop."""
    return asyncio.get_running_loop()._file_queue[1]  # type: ignore[attr-defined]


TEXT = "one\ntwo\r\nthree\rvier: äöü, \U0001f40e\n\nlast"


def test_reads_and_writes_as_pythons_files_do(way: str, tmp_path: Path) -> None:
    path = tmp_path / "file"

    async def main() -> None:
        async with aio.open(path, "wb") as file:
            assert await file.write(b"hello ") == 6
            await file.writelines([b"a\n", b"b\n", bytearray(b"c")])
            assert await file.tell() == 11
            assert (file.readable(), file.writable(), file.seekable(), file.closed) == (False, True, True, False)
            with pytest.raises(io.UnsupportedOperation):
                await file.read()
        assert file.closed
        async with aio.open(path, "rb") as file:
            assert await file.read(3) == b"hel"
            assert await file.peek() == b"lo a\nb\nc"
            assert await file.readline() == b"lo a\n"
            assert await file.readlines() == [b"b\n", b"c"]
            assert await file.read() == b""
            assert await file.seek(-1, os.SEEK_END) == 10
            assert await file.read(10) == b"c"
            assert await file.seek(0) == 0
            assert [line async for line in file] == [b"hello a\n", b"b\n", b"c"]
            await file.seek(1)
            buffer = bytearray(4)
            assert await file.readinto(buffer) == 4
            assert buffer == b"ello"
            with pytest.raises(OSError, match="Invalid argument"):
                await file.seek(-1)

    triga.run(main())
    assert path.read_bytes() == b"hello a\nb\nc"


def test_reading_and_writing_one_file_share_its_position(way: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def main() -> None:
        async with aio.open(path, "r+b") as file:
            assert await file.read(2) == b"01"
            await file.write(b"ab")
            assert await file.read(2) == b"45"
            assert await file.truncate(8) == 8
            assert await file.read() == b"67"
            await file.seek(5)
            assert await file.truncate() == 5
        async with aio.open(path, "a+b") as file:
            assert await file.tell() == 5
            await file.seek(0)
            await file.write(b"!")
            assert await file.tell() == 6
            await file.flush()
            await file.sync()

    triga.run(main())
    assert path.read_bytes() == b"01ab4!"


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_text_is_what_pythons_text_files_make_of_it(way: str, tmp_path: Path, newline: Any, encoding: str) -> None:
    text = TEXT if encoding != "latin-1" else TEXT.replace("\U0001f40e", "x")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with theirs.open("w", encoding=encoding, newline=newline) as file:
        file.write(text)
        file.write("more")

    async def main() -> None:
        async with aio.open(ours, "w", encoding=encoding, newline=newline) as file:
            assert await file.write(text) == len(text)
            await file.write("more")
        assert ours.read_bytes() == theirs.read_bytes()
        raw = text.encode(encoding)
        ours.write_bytes(raw)
        theirs.write_bytes(raw)
        with theirs.open(encoding=encoding, newline=newline) as expected:
            async with aio.open(ours, encoding=encoding, newline=newline) as file:
                assert await file.read(5) == expected.read(5)
                assert await file.readline() == expected.readline()
                assert await file.readline(3) == expected.readline(3)
                assert await file.readlines() == expected.readlines()
        with theirs.open(encoding=encoding, newline=newline) as expected:
            async with aio.open(ours, encoding=encoding, newline=newline) as file:
                assert [line async for line in file] == list(expected)
                await file.seek(0)
                expected.seek(0)
                assert await file.read() == expected.read()

    triga.run(main())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_tell_brings_a_text_file_back_where_it_was(way: str, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file"
    path.write_text(TEXT * 3, encoding=encoding)

    async def main() -> None:
        async with aio.open(path, encoding=encoding) as file:
            whole = await file.read()
            for count in range(0, len(whole), 7):
                await file.seek(0)
                assert await file.read(count) == whole[:count]
                cookie = await file.tell()
                assert await file.read() == whole[count:]
                await file.seek(cookie)
                assert await file.read(3) == whole[count : count + 3]

    triga.run(main())


def test_random_operations_agree_with_pythons_file(way: str, tmp_path: Path) -> None:
    rng = random.Random(4)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    start = rng.randbytes(200_000).replace(b"\n", b"") + b"\n".join(rng.randbytes(50) for _ in range(1_000))
    ours.write_bytes(start)
    theirs.write_bytes(start)

    async def main() -> None:
        with theirs.open("r+b") as expected:
            async with aio.open(ours, "r+b") as file:
                for _ in range(400):
                    what, size = rng.randrange(6), rng.randrange(1, 100_000)
                    if what == 0:
                        assert await file.read(size) == expected.read(size)
                    elif what == 1:
                        assert await file.readline() == expected.readline()
                    elif what == 2:
                        data = rng.randbytes(size)
                        assert await file.write(data) == expected.write(data)
                    elif what == 3:
                        assert await file.seek(size) == expected.seek(size)
                    elif what == 4 and size % 10 == 0:
                        expected.flush()
                        assert await file.truncate(size) == expected.truncate(size)
                    assert await file.tell() == expected.tell()
        assert ours.read_bytes() == theirs.read_bytes()

    triga.run(main())


@pytest.mark.parametrize("mode", ["", "rw", "rbt", "z", "rr", "b"])
def test_a_mode_that_is_none_is_a_value_error(mode: str) -> None:
    with pytest.raises(ValueError):
        aio.open("name", mode)


def test_open_refuses_what_pythons_open_refuses(way: str, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="binary mode"):
            aio.open(tmp_path, "rb", encoding="utf-8")
        with pytest.raises(ValueError, match="newline"):
            aio.open(tmp_path, newline="x")
        with pytest.raises(FileNotFoundError) as missing:
            await aio.open(tmp_path / "missing")
        assert missing.value.filename == str(tmp_path / "missing")
        with pytest.raises(IsADirectoryError):
            await aio.open(tmp_path, "w")
        with pytest.raises(LookupError):
            await aio.open(__file__, encoding="no such encoding")
        (tmp_path / "there").touch()
        with pytest.raises(FileExistsError):
            await aio.open(tmp_path / "there", "x")
        file = await aio.open(tmp_path / "there", "rb")
        await file.close()
        await file.close()
        with pytest.raises(ValueError, match="closed"):
            await file.read()

    triga.run(main())


def test_whole_files(way: str, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3_300_000)
    steps: list[tuple[int, int]] = []

    async def main() -> None:
        assert await aio.write_file(tmp_path / "one", data, progress=lambda *told: steps.append(told)) == len(data)
        assert steps == [(1 << 20, len(data)), (2 << 20, len(data)), (3 << 20, len(data)), (len(data), len(data))]
        steps.clear()
        assert await aio.read_file(tmp_path / "one") == data
        assert await aio.read_file(tmp_path / "one", progress=lambda *told: steps.append(told)) == data
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1] == (len(data), len(data)) and len(steps) >= 4
        await aio.write_file(tmp_path / "two", "text\r\nä")
        await aio.write_file(tmp_path / "two", "more", append=True)
        assert await aio.read_file(tmp_path / "two", encoding="utf-8") == "text\r\nämore"
        assert (await aio.read_file("/proc/self/status")).startswith(b"Name:")
        assert await aio.read_file("/dev/null") == b""
        names = [tmp_path / f"n{number}" for number in range(200)]
        for number, name in enumerate(names):
            name.write_text(str(number))
        assert await aio.read_files(names, encoding="ascii", at_once=7) == [str(number) for number in range(200)]
        with pytest.raises(FileNotFoundError):
            await aio.read_files([*names, tmp_path / "missing"])
        assert await aio.read_files([]) == []

    before = triga.stats()
    triga.run(main())
    counter = {"kernel": "file_operations", "threads": "threaded_file_ops"}
    assert triga.stats()[counter[way]] > before[counter[way]]
    other = {"threads": "file_operations", "kernel": "threaded_file_ops"}
    assert triga.stats()[other[way]] == before[other[way]]


def test_a_cancelled_read_ends_in_the_kernel_and_leaves_the_file_as_it_was(way: str, tmp_path: Path) -> None:
    # A FIFO with nobody writing: the read is under way until it is cancelled. A thread cannot be stopped in it; there
    # the writer ends it.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    holder = os.open(fifo, os.O_RDWR)

    async def main() -> None:
        async with aio.open(fifo, "rb") as file:
            assert not file.seekable()
            queue = running_queue()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(file.read1(10), 0.01)
            if way == "kernel":
                while queue.pending():
                    await asyncio.sleep(0)
            os.write(holder, b"x" if way == "kernel" else b"lost")
            while queue.pending():
                await asyncio.sleep(0)
            os.write(holder, b"y")
            data = b""
            while b"y" not in data:
                data += await file.read1(10)
            assert data == (b"xy" if way == "kernel" else b"y")

    try:
        triga.run(main())
    finally:
        os.close(holder)


def test_closing_the_loop_ends_what_is_under_way(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    holder = os.open(fifo, os.O_RDWR)
    loop = triga.new_event_loop()
    queue = _core.FileQueue(loop)
    if not queue.is_of_kernel():
        os.write(holder, b"x")  # a thread has to be let go
    loop._file_queue = (os.getpid(), queue)  # type: ignore[attr-defined]
    future = queue.read(holder, 10, -1)
    assert queue.pending() == 1
    loop.close()
    assert not future.done()
    with pytest.raises(RuntimeError, match="closed"):
        queue.read(holder, 10, -1)
    os.close(holder)


def test_other_loops_are_refused_with_a_sentence() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"triga\.run"):
            await aio.open(__file__)

    asyncio.run(main())


def test_a_lost_file_warns_and_is_closed(way: str) -> None:
    async def main() -> int:
        file = await aio.open(__file__)
        fd: int = file.fileno()
        with pytest.warns(ResourceWarning, match="unclosed file"):
            del file
        return fd

    fd = triga.run(main())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_the_loop_goes_on_while_files_are_read(way: str, tmp_path: Path) -> None:
    # A task that reads what is in the page cache, again and again, must leave others their turns.
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)

    async def main() -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.ensure_future(count())
        async with aio.open(path, "rb") as file:
            for _ in range(100):
                await file.seek(0)
                await file.read1(4096)
        counter.cancel()
        assert turns >= 100

    triga.run(main())


def test_a_forked_child_leaves_its_parents_operations_alone(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, triga
from triga import aio
os.mkfifo({str(tmp_path / "fifo")!r})
holder = os.open({str(tmp_path / "fifo")!r}, os.O_RDWR)
async def main():
    async with aio.open({str(tmp_path / "fifo")!r}, "rb") as file:
        task = asyncio.ensure_future(file.read1(5))
        await asyncio.sleep(0.01)
        child = os.fork()
        if child == 0:
            async def other():
                return await aio.read_file({__file__!r})
            asyncio._set_running_loop(None)
            os._exit(0 if triga.run(other()) else 1)
        assert os.waitpid(child, 0)[1] == 0
        os.write(holder, b"right")
        assert await task == b"right"
triga.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_many_tasks_and_threads_read_at_once(way: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4096)
    expected = path.read_bytes()
    failures: list[BaseException] = []

    async def main() -> None:
        contents = await asyncio.gather(*(aio.read_file(path) for _ in range(50)))
        assert all(each == expected for each in contents)

    def run() -> None:
        try:
            triga.run(main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
