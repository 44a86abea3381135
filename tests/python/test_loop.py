"""The native event loop: one body against asyncio's loop and triga's, and what only triga's promises."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

import triga
from tests.python.loops import run_turns
from triga import _core


def python(program: str, *arguments: str, timeout: float = 30, **environment: str) -> tuple[int, str, str]:
    """Runs PROGRAM under triga's loop: exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, *arguments, "-c", program],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "TRIGA": "loop", **environment},
    )
    return done.returncode, done.stdout, done.stderr


# ---- what it is ------------------------------------------------------------------------------------------------------


def test_the_loop_is_an_asyncio_selector_loop() -> None:
    stock = asyncio.unix_events._UnixSelectorEventLoop  # type: ignore[attr-defined]
    with triga.installed(threads=False, processes=False):
        loop = asyncio.new_event_loop()
        assert isinstance(loop, asyncio.SelectorEventLoop)
        assert isinstance(loop, stock)
        assert type(loop).__name__ == stock.__name__
        loop.close()
    assert asyncio.SelectorEventLoop is stock


def test_a_selector_of_ones_own_gives_asyncios_loop() -> None:
    with triga.installed(threads=False, processes=False):
        loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
        assert not isinstance(loop, _core.LoopBase)
        loop.close()
        with pytest.raises(TypeError, match="has no selector"):
            type("Derived", (asyncio.SelectorEventLoop,), {})(selectors.SelectSelector())


def test_run_and_runner_count_native_work() -> None:
    async def main() -> int:
        await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        return 42

    with triga.installed(threads=False, processes=False):
        before = triga.stats()
        assert asyncio.run(main()) == 42
        after = triga.stats()
    for name in ("loop_iterations", "callbacks_run", "timers_scheduled", "timers_fired", "polls"):
        assert after[name] > before[name], name


def test_a_programs_own_policy_wins() -> None:
    program = """
import asyncio, warnings
warnings.simplefilter("ignore")
class Mine(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        print("mine")
        return super().new_event_loop()
asyncio.set_event_loop_policy(Mine())
asyncio.run(asyncio.sleep(0))
"""
    assert python(program) == (0, "mine\n", "")


def test_handles_are_asyncios_and_can_be_referenced_weakly(loop: Any) -> None:
    handle = loop.call_soon(print, 1)
    timer = loop.call_later(100, print, 1)
    assert isinstance(handle, asyncio.Handle) and not isinstance(handle, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.TimerHandle)
    assert handle._callback is print and handle._args == (1,) and isinstance(handle._context, contextvars.Context)
    assert repr(handle) == "<Handle print(1)>" or repr(handle) == "<Handle print()>"
    reference = weakref.ref(handle)
    assert reference() is handle
    handle.cancel()
    handle.cancel()
    assert handle.cancelled() and handle._callback is None and handle._args is None
    assert timer < loop.call_later(200, print) and timer.when() > loop.time()
    run_turns(loop)
    del handle
    assert reference() is None


# ---- turns -----------------------------------------------------------------------------------------------------------


def test_callbacks_queued_in_a_turn_run_after_ready_descriptors(loop: Any) -> None:
    reading, writing = os.pipe()
    order: list[Any] = []

    def chain(number: int) -> None:
        order.append(number)
        if number < 3:
            loop.call_soon(chain, number + 1)
        else:
            loop.stop()

    def readable() -> None:
        order.append("io")
        loop.remove_reader(reading)

    loop.add_reader(reading, readable)
    loop.call_soon(os.write, writing, b"x")
    loop.call_soon(chain, 0)
    loop.run_forever()
    os.close(reading)
    os.close(writing)
    assert order == [0, "io", 1, 2, 3] or order == [0, 1, "io", 2, 3]
    assert order.index("io") <= 2


def test_stop_before_running_runs_one_turn(loop: Any) -> None:
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(lambda: loop.call_soon(seen.append, 2))
    loop.stop()
    loop.run_forever()
    assert seen == [1]


def test_timers_fire_in_order_and_never_early(loop: Any) -> None:
    fired: list[tuple[float, float]] = []
    for delay in (0.004, 0.001, 0.0, 0.002):
        when = loop.time() + delay
        loop.call_at(when, lambda when=when: fired.append((when, loop.time())))
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert [when for when, _ in fired] == sorted(when for when, _ in fired)
    assert len(fired) == 4 and all(now >= when - 1e-9 for when, now in fired)


def test_equal_deadlines_fire_in_insertion_order() -> None:
    with triga.installed(threads=False, processes=False):
        loop = asyncio.new_event_loop()
        when, order = loop.time(), list[int]()
        for number in range(50):
            loop.call_at(when, order.append, number)
        run_turns(loop)
        loop.close()
    assert order == list(range(50))


def test_most_timers_cancelled_means_most_timers_gone() -> None:
    with triga.installed(threads=False, processes=False):
        loop: Any = asyncio.new_event_loop()
        keep = [loop.call_later(1000, print) for _ in range(60)]
        for _ in range(500):
            loop.call_later(1000, print).cancel()
        run_turns(loop)
        assert len(loop._scheduled) == len(keep)
        loop.close()


def test_call_later_takes_what_asyncio_takes(loop: Any) -> None:
    with pytest.raises(TypeError, match="None"):
        loop.call_later(None, print)
    with pytest.raises(TypeError, match="None"):
        loop.call_at(None, print)
    loop.call_later(float("inf"), print)
    loop.call_later(10**12, print)
    loop.call_later(-5, loop.stop)
    loop.run_forever()


# ---- contexts, errors ------------------------------------------------------------------------------------------------


def test_callbacks_run_in_the_context_of_their_making(loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []
    variable.set(1)
    loop.call_soon(lambda: seen.append(variable.get()))
    other = contextvars.copy_context()
    other.run(variable.set, 2)
    loop.call_soon(lambda: seen.append(variable.get()), context=other)
    loop.call_later(0, lambda: seen.append(variable.get()), context=other)
    variable.set(3)
    run_turns(loop, 2)
    assert seen == [1, 2, 2]
    with pytest.raises(TypeError):
        loop.call_soon(print, contxt=other)


def test_a_ready_descriptor_does_not_wait_behind_a_long_chain_of_callbacks(loop: Any) -> None:
    # After so many busy turns the native loop asks shared memory and not epoll; the order must stay asyncio's.
    reading, writing = os.pipe()
    turns = 0
    told: list[tuple[int, int]] = []

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns >= 2_000 and turns % 100 == 0:
            os.write(writing, turns.to_bytes(4, "big"))
        if turns < 4_000:
            loop.call_soon(turn)
        else:
            loop.call_later(0, loop.stop)

    def read() -> None:
        told.append((int.from_bytes(os.read(reading, 4), "big"), turns))

    loop.add_reader(reading, read)
    loop.call_soon(turn)
    loop.run_forever()
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    assert [written for written, _ in told] == list(range(2_000, 4_001, 100))
    assert all(seen == min(written + 1, 4_000) for written, seen in told)


def test_a_context_entered_already_is_an_error_for_the_handler(loop: Any) -> None:
    context = contextvars.copy_context()
    told: list[dict[str, Any]] = []
    # Not through set_exception_handler(): since 3.12 that handler is run in the callback's own context, which here
    # cannot be entered either.
    loop.call_exception_handler = told.append
    loop.call_soon(print, context=context)
    context.run(run_turns, loop)
    assert [type(given["exception"]) for given in told] == [RuntimeError]


def test_an_exception_goes_to_the_handler_and_the_loop_goes_on(loop: Any) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, given: told.append(given))
    handle = loop.call_soon(int, "no number")
    run_turns(loop)
    assert isinstance(told[0]["exception"], ValueError)
    assert told[0]["handle"] is handle
    assert told[0]["message"].startswith("Exception in callback int(")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_exits_leave_run_forever_and_the_rest_of_the_turn_stays(loop: Any, error: type[BaseException]) -> None:
    def leave() -> None:
        raise error

    seen: list[int] = []
    loop.call_soon(leave)
    loop.call_soon(seen.append, 1)
    with pytest.raises(error):
        loop.run_forever()
    assert not loop.is_running() and seen == []
    run_turns(loop)
    assert seen == [1]


def test_a_closed_loop_refuses(loop: Any) -> None:
    loop.close()
    for schedule in (loop.call_soon, loop.call_soon_threadsafe):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            schedule(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_forever()
    assert loop.is_closed()
    loop.close()


def test_closing_a_running_loop_is_refused(loop: Any) -> None:
    loop.call_soon(loop.stop)
    failures: list[BaseException] = []

    def close() -> None:
        try:
            loop.close()
        except RuntimeError as error:
            failures.append(error)

    loop.call_soon(close)
    loop.run_forever()
    assert len(failures) == 1


# ---- debug mode ------------------------------------------------------------------------------------------------------


def test_debug_mode_reports_slow_callbacks_and_where_handles_were_made(
    loop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0

    def slow() -> None:
        assert loop._current_handle is not None

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        handle = loop.call_soon(slow)
        run_turns(loop)
    assert any(record.message.startswith("Executing <Handle") for record in caplog.records)
    assert handle._source_traceback[-1].filename == __file__
    with pytest.raises(TypeError):
        loop.call_soon(asyncio.sleep)
    with pytest.raises(TypeError):
        loop.call_soon(42)


def test_debug_mode_notices_the_wrong_thread(loop: Any) -> None:
    loop.set_debug(True)
    refusals: list[BaseException] = []

    def elsewhere() -> None:
        try:
            loop.call_soon(print)
        except RuntimeError as error:
            refusals.append(error)
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(lambda: threading.Thread(target=elsewhere).start())
    loop.run_forever()
    assert "Non-thread-safe operation" in str(refusals[0])


# ---- descriptors, threads, signals -----------------------------------------------------------------------------------


def test_call_soon_threadsafe_from_many_threads_loses_nothing(loop: Any) -> None:
    threads, each, seen = 4, 500, list[int]()

    def note(number: int) -> None:
        seen.append(number)
        if len(seen) == threads * each:
            loop.stop()

    def send() -> None:
        for number in range(each):
            loop.call_soon_threadsafe(note, number)

    senders = [threading.Thread(target=send) for _ in range(threads)]
    for sender in senders:
        sender.start()
    loop.run_forever()
    for sender in senders:
        sender.join()
    assert len(seen) == threads * each


def test_signal_handlers_run_in_the_loop(loop: Any) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "usr1")
    loop.add_signal_handler(signal.SIGUSR2, loop.stop)
    assert set(loop._signal_handlers) == {signal.SIGUSR1, signal.SIGUSR2}
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.call_later(0.001, os.kill, os.getpid(), signal.SIGUSR2)
    loop.run_forever()
    assert seen == ["usr1"]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    with pytest.raises(RuntimeError):
        loop.add_signal_handler(signal.SIGKILL, print)


def test_ctrl_c_ends_a_loop_that_waits_for_nothing() -> None:
    program = """
import asyncio, os, signal, threading
loop = asyncio.new_event_loop()
main = threading.main_thread().ident
def strike():
    while not loop._waiting_seen:
        pass
    signal.pthread_kill(main, signal.SIGINT)
loop._waiting_seen = False
loop.call_soon(setattr, loop, "_waiting_seen", True)
threading.Thread(target=strike).start()
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted", loop.is_running())
loop.close()
"""
    assert python(program) == (0, "interrupted False\n", "")


def test_the_wakeup_descriptor_is_the_loops_only_while_it_runs_and_never_a_programs() -> None:
    program = """
import asyncio, signal, socket
async def look():
    signal.set_wakeup_fd(seen := signal.set_wakeup_fd(-1))
    return seen
ours, theirs = socket.socketpair()
ours.setblocking(False)
print(asyncio.run(look()) > 2, signal.set_wakeup_fd(ours.fileno()))
print(asyncio.run(look()) == ours.fileno(), signal.set_wakeup_fd(-1) == ours.fileno())
"""
    assert python(program) == (0, "True -1\nTrue True\n", "")


def test_ctrl_c_cancels_the_main_task_of_asyncio_run() -> None:
    program = """
import asyncio, os, signal
async def main():
    asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
    assert python(program) == (0, "cancelled\ninterrupted\n", "")


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


# ---- replaced methods ------------------------------------------------------------------------------------------------


def test_a_replaced_run_once_is_called_every_turn(loop: Any) -> None:
    turns = 0
    original = loop._run_once

    def counting() -> None:
        nonlocal turns
        turns += 1
        original()

    loop._run_once = counting
    run_turns(loop, 3)
    assert turns == 3


def test_a_subclass_with_a_clock_of_its_own_is_asked_for_the_time(backend: str) -> None:
    class Shifted(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return super().time() + 1000

    loop = Shifted()
    assert loop.call_later(1, print).when() > asyncio.SelectorEventLoop.time(loop) + 1000
    loop.close()


def test_driving_the_loop_by_asyncios_internals_is_refused_loudly() -> None:
    with triga.installed(threads=False, processes=False):
        loop: Any = asyncio.new_event_loop()
        for use in (lambda: loop._selector.select(0), lambda: loop._scheduled[0], lambda: loop._ready.popleft()):
            with pytest.raises(RuntimeError, match="keeps its"):
                use()
        loop.close()


# ---- tasks -----------------------------------------------------------------------------------------------------------


def test_create_task_takes_names_contexts_and_factories(loop: Any) -> None:
    async def nothing() -> None:
        pass

    context = contextvars.copy_context()
    named = loop.create_task(nothing(), name="a name", context=context)
    assert named.get_name() == "a name"
    assert named.get_context() is context if sys.version_info >= (3, 12) else True
    assert loop.create_task(nothing(), name=None, context=None).get_name().startswith("Task-")
    for wrong in {"nmae": "x"}, {"loop": loop}, {"name": "x", "loop": loop}:
        coroutine = nothing()
        with pytest.raises(TypeError):
            loop.create_task(coroutine, **wrong)
        coroutine.close()
    assert isinstance(loop.create_task(nothing()), asyncio.Task)
    made: list[Any] = []

    def factory(given: Any, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=given, **options)

    loop.set_task_factory(factory)
    loop.run_until_complete(loop.create_task(nothing()))
    assert len(made) == 1
    with pytest.raises(TypeError):
        loop.create_task(42)
    assert loop.create_future().get_loop() is loop


def test_an_eager_task_begins_at_once_where_create_task_takes_the_word(loop: Any) -> None:
    begun: list[str] = []

    async def begin() -> str:
        begun.append(asyncio.current_task().get_name())  # type: ignore[union-attr]
        return "done"

    async def main() -> None:
        coroutine = begin()
        if sys.version_info < (3, 14):
            with pytest.raises(TypeError):
                loop.create_task(coroutine, eager_start=True)
            return coroutine.close()
        task = loop.create_task(coroutine, eager_start=True, name="eager")
        assert begun == ["eager"]
        assert task.done() and await task == "done"
        later = loop.create_task(begin(), eager_start=False, name="later")
        assert begun == ["eager"]
        await later
        assert begun == ["eager", "later"]

    loop.run_until_complete(main())


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
