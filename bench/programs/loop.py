"""asyncio: standard-library code, the same for every arm. A peer's loop comes in through Runner(loop_factory=)."""

import asyncio
import os

from arm_loop import loop_factory
from meter import main, table


def nothing(*_):
    """An empty callback."""


def run(meter, program):
    """asyncio.run(), on the arm's loop."""
    with asyncio.Runner(loop_factory=loop_factory(meter.arm)) as runner:
        runner.run(program(meter))


def scenario(program):
    """Makes a scenario of a coroutine function."""

    def timed(meter):
        run(meter, program)

    timed.__name__ = program.__name__
    return timed


@scenario
async def sleep_0(meter):
    """One sleep(0) after the other."""
    count = meter.n(200_000)
    with meter(count):
        for _ in range(count):
            await asyncio.sleep(0)


async def _empty():
    pass


@scenario
async def gather(meter):
    """Empty coroutines gathered, 20,000 at a time."""
    size, rounds = meter.n(20_000), 5
    with meter(size * rounds):
        for _ in range(rounds):
            await asyncio.gather(*[_empty() for _ in range(size)])


async def _call_soon(meter, *arguments):
    loop, count = asyncio.get_running_loop(), meter.n(200_000)
    done, left = loop.create_future(), count

    def callback(*_):
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(callback, *arguments)
        else:
            done.set_result(None)

    with meter(count):
        loop.call_soon(callback, *arguments)
        await done


@scenario
async def call_soon(meter):
    """A callback that schedules itself again: one turn of the loop each."""
    await _call_soon(meter)


@scenario
async def call_soon_3_arguments(meter):
    """The same with three arguments."""
    await _call_soon(meter, 1, 2, 3)


@scenario
async def call_soon_burst(meter):
    """Callbacks scheduled by the thousand, all run in one turn."""
    loop, size = asyncio.get_running_loop(), 1_000
    rounds = meter.n(200)
    with meter(size * rounds):
        for _ in range(rounds):
            for _ in range(size):
                loop.call_soon(nothing)
            await asyncio.sleep(0)


@scenario
async def create_task(meter):
    """Tasks whose coroutine ends at once, by asyncio.create_task(), by the thousand."""
    size, rounds = 1_000, meter.n(100)

    async def end_at_once():
        pass

    with meter(size * rounds):
        for _ in range(rounds):
            for _ in range(size):
                asyncio.create_task(end_at_once())  # noqa: RUF006  # its step is queued, which keeps it
            await asyncio.sleep(0)


@scenario
async def call_later_cancel(meter):
    """call_later() and cancel() while 50,000 timers are pending."""
    loop, count = asyncio.get_running_loop(), meter.n(100_000)
    pending = [loop.call_later(1_000 + number / 1_000, nothing) for number in range(50_000)]
    with meter(count):
        for _ in range(count):
            loop.call_later(500, nothing).cancel()
        await asyncio.sleep(0)
    for handle in pending:
        handle.cancel()


@scenario
async def timers(meter):
    """sleep() of many tasks for some milliseconds: one operation is a timer that fires."""
    count = meter.n(20_000)
    with meter(count):
        await asyncio.gather(*[asyncio.sleep(0.001 + number % 50 / 1_000) for number in range(count)])


@scenario
async def call_soon_threadsafe(meter):
    """Callbacks from another thread, in bursts."""
    loop, count = asyncio.get_running_loop(), meter.n(100_000)
    done = loop.create_future()

    def other():
        for _ in range(count - 1):
            loop.call_soon_threadsafe(nothing)
        loop.call_soon_threadsafe(done.set_result, None)

    with meter(count):
        future = loop.run_in_executor(None, other)
        await done
    await future


@scenario
async def run_in_executor(meter):
    """An empty function run in the default executor, again and again."""
    loop, count = asyncio.get_running_loop(), meter.n(5_000)
    await loop.run_in_executor(None, nothing)
    with meter(count):
        for _ in range(count):
            await loop.run_in_executor(None, nothing)


@scenario
async def subprocess_wait(meter):
    """create_subprocess_exec() of /bin/true and wait()."""
    count = meter.n(150)
    with meter(count):
        for _ in range(count):
            process = await asyncio.create_subprocess_exec("/bin/true")
            assert await process.wait() == 0


class Counting(asyncio.Protocol):
    """Counts what it receives, and tells when all is there."""

    def __init__(self, expected):
        self.left = expected
        self.done = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        """Counts."""
        self.left -= len(data)
        if self.left <= 0:
            self.done.set_result(None)


class Writing(asyncio.Protocol):
    """Writes pieces for as long as the transport does not pause it."""

    def __init__(self, piece, count):
        self.piece, self.left, self.paused = piece, count, False

    def connection_made(self, transport):
        """Starts."""
        self.transport = transport
        self.resume_writing()

    def pause_writing(self):
        """More is queued than the transport likes."""
        self.paused = True

    def resume_writing(self):
        """Goes on."""
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(self.piece)


async def _pipe(meter, size, count):
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    readable, writable = os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)  # closed by their transports
    receiver, counting = await loop.connect_read_pipe(lambda: Counting(size * count), readable)
    with meter(count):
        sender, _ = await loop.connect_write_pipe(lambda: Writing(bytes(size), count), writable)
        await counting.done
    sender.close()
    receiver.close()


@scenario
async def pipe_1k(meter):
    """Pieces of 1 KB through a pipe, from transport to transport."""
    await _pipe(meter, 1024, meter.n(200_000))


@scenario
async def pipe_64k(meter):
    """Pieces of 64 KB."""
    await _pipe(meter, 65_536, meter.n(20_000))


@scenario
async def queue_ping_pong(meter):
    """A number to another task and back through two asyncio.Queues."""
    there, back, count = asyncio.Queue(), asyncio.Queue(), meter.n(50_000)

    async def other():
        for _ in range(count):
            await back.put(await there.get())

    task = asyncio.create_task(other())
    with meter(count):
        for number in range(count):
            await there.put(number)
            await back.get()
    await task


if __name__ == "__main__":
    main(
        table(
            sleep_0, gather, call_soon, call_soon_3_arguments, call_soon_burst, create_task, call_later_cancel, timers,
            call_soon_threadsafe, run_in_executor, subprocess_wait, pipe_1k, pipe_64k, queue_ping_pong,
        )
    )  # fmt: skip
