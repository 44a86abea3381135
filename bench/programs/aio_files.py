"""Files from asyncio: triga.aio, aiofiles, and what a program without either does, a thread of the executor."""

import asyncio
import tempfile
from importlib import import_module
from pathlib import Path

from meter import main, table


def _read(path):
    return Path(path).read_bytes()


def reader(arm):
    """The arm's coroutine function that reads a whole file."""
    if arm == "triga":
        return import_module("triga").aio.read_file
    if arm == "stdlib":

        async def by_executor(path):
            return await asyncio.get_running_loop().run_in_executor(None, _read, path)

        return by_executor
    opened = import_module(arm).open

    async def by_package(path):
        async with opened(path, "rb") as file:
            return await file.read()

    return by_package


def scenario(program):
    """Makes a scenario of a coroutine function of a meter, a folder and a reader."""

    def timed(meter):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(program(meter, Path(folder), reader(meter.arm)))

    timed.__name__ = program.__name__
    return timed


def make(folder, count, size):
    """So many files of so many bytes."""
    paths = [folder / str(number) for number in range(count)]
    for path in paths:
        path.write_bytes(b"x" * size)
    return paths


@scenario
async def read_small(meter, folder, read):
    """Whole files of 4 KiB, one after the other."""
    paths, count = make(folder, 50, 4096), meter.n(3_000)
    await read(paths[0])
    with meter(count):
        for number in range(count):
            await read(paths[number % 50])


@scenario
async def read_small_at_once(meter, folder, read):
    """Whole files of 4 KiB, 50 at a time."""
    paths, rounds = make(folder, 50, 4096), meter.n(100)
    await read(paths[0])
    with meter(50 * rounds):
        for _ in range(rounds):
            await asyncio.gather(*map(read, paths))


@scenario
async def read_large(meter, folder, read):
    """Whole files of 8 MiB, one after the other."""
    (path,), count = make(folder, 1, 8 << 20), meter.n(40)
    await read(path)
    with meter(count):
        for _ in range(count):
            await read(path)


if __name__ == "__main__":
    main(table(read_small, read_small_at_once, read_large))
