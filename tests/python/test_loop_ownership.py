"""Who may use an event loop: its process and its thread. Forks and other threads, asyncio's loop beside triga's."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

PRELUDE = """
import asyncio, os, signal, socket, sys, threading, traceback, warnings
warnings.simplefilter("ignore")

def child(body):
    "Runs body in a forked child; its exit code is 0 if nothing was raised."
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(20)
            body()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child failed"

def refused(*call):
    try:
        call[0](*call[1:])
    except RuntimeError as error:
        assert f"runs in process {os.getppid()}, and this is process {os.getpid()}" in str(error), error
    else:
        raise AssertionError(f"{call} was accepted")
"""


def python(program: str, backend: str = "triga", timeout: float = 40) -> tuple[int, str, str]:
    """Runs PROGRAM on the backend's loop: exit code, stdout, stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "TRIGA"}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment | ({"TRIGA": "loop"} if backend == "triga" else {}),
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(params=["stdlib", "triga"])
def name(request: pytest.FixtureRequest) -> str:
    """Which loop a program is to run on."""
    return str(request.param)


# ---- forks: what asyncio promises ------------------------------------------------------------------------------------


def test_a_loop_that_did_not_run_at_the_fork_is_the_childs_too(name: str) -> None:
    program = """
loop = asyncio.new_event_loop()
def body():
    assert loop.run_until_complete(asyncio.sleep(0.001, "slept")) == "slept"
    threading.Timer(0.001, loop.call_soon_threadsafe, [loop.stop]).start()
    loop.run_forever()
    loop.close()
child(body)
print("done")
"""
    assert python(program, name) == (0, "done\n", "")


def test_a_child_runs_a_loop_of_its_own_while_the_parents_runs(name: str) -> None:
    program = """
async def main():
    def body():
        assert asyncio._get_running_loop() is None
        asyncio.run(asyncio.sleep(0.001))
    child(body)
    await asyncio.sleep(0.001)
    print("parent goes on")
asyncio.run(main())
"""
    assert python(program, name) == (0, "parent goes on\n", "")


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="_asyncio reports a RuntimeError in place of the exit, on any loop, and goes on"
)
def test_a_child_that_leaves_the_loop_by_an_exception_closes_it(name: str) -> None:
    """sys.exit() in a coroutine completes its task, which calls the loop; then Runner runs the copy to end the rest.

    None of that may be refused: the callbacks of _asyncio are not, and once run_forever() is left, the loop is idle.
    """
    program = """
async def numbers():
    yield 1
    yield 2
async def main():
    asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    async for number in numbers():
        if os.fork() == 0:
            sys.exit(7)
        break
    return os.waitstatus_to_exitcode(os.wait()[1])
print(asyncio.run(main()))
"""
    assert python(program, name) == (0, "7\n", "")


def test_a_child_that_returns_into_the_loop_runs_it_on(name: str) -> None:
    """How a program that runs already becomes a daemon: the parent exits in the callback, and the child goes on."""
    program = """
loop = asyncio.new_event_loop()
def become_a_daemon():
    if os.fork():
        os.wait()
        os._exit(0)
def at_once():
    loop.call_later(0.001, later)
def later():
    print("the daemon's", flush=True)
    loop.stop()
loop.call_soon(become_a_daemon)
loop.call_later(0.01, at_once)
loop.run_forever()
"""
    assert python(program, name) == (0, "the daemon's\n", "")


# ---- forks: what only triga's loop promises --------------------------------------------------------------------------


def test_a_running_loops_copy_refuses_all_that_would_never_be_done() -> None:
    program = """
async def main():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    datagrams, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    reading, writing = os.pipe()
    pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", 0))
    def body():
        for method in loop.call_soon, loop.call_soon_threadsafe:
            refused(method, print)
        for method in loop.call_later, loop.call_at:
            refused(method, 0.001, print)
        for method in loop.add_reader, loop.add_writer:
            refused(method, theirs, print)
        refused(loop.run_forever)
        for method in loop.create_task, loop.run_until_complete:
            coroutine = asyncio.sleep(0)
            refused(method, coroutine)
            coroutine.close()
        refused(loop.run_in_executor, None, print)
        refused(writer.write, b"never sent")
        refused(writer.writelines, [b"never sent"])
        refused(datagrams.sendto, b"never sent", ("127.0.0.1", 9))
        refused(pipe.write, b"never sent")
        for transport in writer, datagrams, pipe:
            transport.close()
        loop.remove_reader(theirs)
        assert "running=True" in repr(loop)
    child(body)
    writer.write(b"the parent's")
    await writer.drain()
    print(theirs.recv(100).decode())
    theirs.send(b"and its peer's")
    print((await reader.read(100)).decode())
    datagrams.close()
    pipe.close()
    writer.close()
asyncio.run(main())
"""
    assert python(program) == (0, "the parent's\nand its peer's\n", "")


def test_a_loop_that_another_thread_ran_is_refused_in_the_child() -> None:
    """The usual victim: a worker that reports to a loop in a background thread, which the fork did not copy."""
    program = """
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()
asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
def body():
    refused(loop.call_soon_threadsafe, print)
    coroutine = asyncio.sleep(0)
    refused(asyncio.run_coroutine_threadsafe, coroutine, loop)
    coroutine.close()
child(body)
asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
print("done")
"""
    assert python(program) == (0, "done\n", "")


def test_a_child_that_closes_or_uses_an_idle_loop_leaves_the_parents_alone() -> None:
    """Both share one epoll until the child's first use: EPOLL_CTL_DEL by the child would deafen the parent.

    asyncio's own loop does that. (docs/loop.md)
    """
    program = """
loop = asyncio.new_event_loop()
reading, writing = os.pipe()
loop.add_reader(reading, loop.stop)
def close():
    loop.remove_reader(reading)
    loop.close()
child(close)
def use():
    os.write(writing, b"x")
    loop.run_forever()
    os.read(reading, 1)
    loop.remove_reader(reading)
child(use)
loop.call_later(0.001, os.write, writing, b"x")
loop.run_forever()
threading.Timer(0.001, loop.call_soon_threadsafe, [loop.stop]).start()
os.read(reading, 1)
loop.run_forever()
loop.close()
print("heard")
"""
    assert python(program) == (0, "heard\n", "")


# ---- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_the_wrong_thread_is_told_so_in_debug_mode(backend: str, method: str) -> None:
    raised: list[BaseException] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        arguments: Any = (print,) if method == "call_soon" else (1, print)

        def touch() -> None:
            try:
                getattr(loop, method)(*arguments)
            except RuntimeError as error:
                raised.append(error)

        thread = threading.Thread(target=touch)
        thread.start()
        thread.join()

    asyncio.run(main(), debug=True)
    assert [str(error) for error in raised] == [
        "Non-thread-safe operation invoked on an event loop other than the current one"
    ]


def test_a_future_completed_by_the_wrong_thread_says_so_in_debug_mode(backend: str) -> None:
    raised: list[BaseException] = []

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(print)

        def complete() -> None:
            try:
                future.set_result(None)
            except RuntimeError as error:
                raised.append(error)

        thread = threading.Thread(target=complete)
        thread.start()
        thread.join()

    asyncio.run(main(), debug=True)
    assert "Non-thread-safe operation" in str(raised[0])


def test_a_loop_does_not_run_in_two_threads(backend: str) -> None:
    loop = asyncio.new_event_loop()
    running = threading.Event()
    loop.call_soon(running.set)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running.wait()
    with pytest.raises(RuntimeError, match="This event loop is already running"):
        loop.run_forever()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
