"""How a loop ends, what it leaves behind, and loops at the end of the interpreter and in others."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import weakref
from typing import Any

import pytest

from tests.python.loops import python, run_turns

# ---- memory ----------------------------------------------------------------------------------------------------------


def test_arguments_are_freed_as_soon_as_the_callback_ran(loop: Any) -> None:
    class Argument:
        pass

    argument = Argument()
    reference = weakref.ref(argument)
    loop.call_soon(lambda _: None, argument)
    loop.call_later(0, lambda _: None, argument)
    del argument
    run_turns(loop, 2)
    assert reference() is None


@pytest.mark.parametrize("held", [False, True])
def test_a_dropped_loop_and_its_pending_callbacks_are_collected(backend: str, held: bool) -> None:
    class Owner:
        handles: list[Any]

        def callback(self) -> None:
            """Never called."""

    loop = asyncio.new_event_loop()
    owner = Owner()
    owner.handles = [loop.call_soon(owner.callback), loop.call_later(60, owner.callback), loop]
    if not held:
        owner.handles.clear()
        loop.call_soon(owner.callback)
    loop.call_soon(print)
    reference = weakref.ref(owner)
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del owner, loop
        gc.collect()
    assert reference() is None


def test_a_cycle_through_a_handle_that_has_run_is_collected(loop: Any) -> None:
    class Owner:
        handle: Any = None

        def callback(self) -> None:
            """Does nothing."""

    owner = Owner()
    owner.handle = loop.call_soon(owner.callback)
    reference = weakref.ref(owner)
    del owner
    run_turns(loop)
    gc.collect()
    assert reference() is None


def test_many_loops_leave_no_descriptors_behind(backend: str) -> None:
    asyncio.new_event_loop().close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        asyncio.run(asyncio.sleep(0))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# ---- exit, interpreters ----------------------------------------------------------------------------------------------


def test_exit_with_an_unclosed_loop_warns_like_asyncio() -> None:
    program = """
import asyncio
loop = asyncio.new_event_loop()
loop.call_later(60, print)
loop.call_soon(print)
"""
    code, out, error = python(program, "-X", "dev")
    assert (code, out) == (0, "")
    assert "ResourceWarning: unclosed event loop <_UnixSelectorEventLoop running=False closed=False" in error


def test_exit_while_a_daemon_thread_runs_a_loop() -> None:
    program = """
import asyncio, threading
started = threading.Event()
async def main():
    started.set()
    while True:
        await asyncio.sleep(0.0001)
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
started.wait()
print("bye")
"""
    assert python(program) == (0, "bye\n", "")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="test helpers for sub-interpreters differ before 3.13")
def test_a_loop_runs_in_a_subinterpreter_with_its_own_gil() -> None:
    program = """
import sys
if sys.version_info >= (3, 14):
    from concurrent import interpreters
    interpreter = interpreters.create()
    run = lambda code: interpreter.exec(code)
    close = interpreter.close
else:
    import _interpreters
    identity = _interpreters.create("isolated")
    def run(code):
        failure = _interpreters.exec(identity, code)
        assert failure is None, failure
    close = lambda: _interpreters.destroy(identity)
run('''
import asyncio
from triga import _core
async def main():
    assert isinstance(asyncio.get_running_loop(), _core.LoopBase)
    await asyncio.sleep(0.001)
    print("ran")
asyncio.run(main())
''')
close()  # 3.14 and later warn of an interpreter that is left at exit
"""
    assert python(program) == (0, "ran\n", "")


def test_a_loop_that_works_has_made_no_dictionary(native: bool) -> None:
    """One with anything in it keeps the interpreter (3.12, 3.13) from remembering where it found call_soon().

    An attribute that a new version of asyncio sets, and that has no slot in the native class, fails this test.
    """

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        server.close()
        await server.wait_closed()
        await loop.run_in_executor(None, int)
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0
        loop.add_signal_handler(signal.SIGUSR1, int)
        loop.remove_signal_handler(signal.SIGUSR1)
        assert (vars(loop) == {}) is native
        loop.mine = 1
        assert loop.mine == vars(loop)["mine"] == 1

    asyncio.run(main())


def test_a_closed_loop_is_gone_with_its_last_reference(backend: str) -> None:
    """It takes no collector. What stood for the containers of asyncio's loop referred to it for ever."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        await loop.run_in_executor(None, int)
        loop.call_later(60, int)
        assert len(loop._scheduled) == 1 and not loop._transports
        await loop.shutdown_default_executor()

    gc.collect()
    gc.disable()
    try:
        loop: Any = asyncio.new_event_loop()
        gone = weakref.ref(loop)
        loop.run_until_complete(main())
        loop.close()
        assert list(loop._ready) == list(loop._scheduled) == list(loop._transports) == []
        del loop
        assert gone() is None
    finally:
        gc.enable()
