"""The native event loop: one body against asyncio's loop and triga's, and what only triga's promises."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import selectors
import signal
import threading
import weakref
from typing import Any

import pytest

import triga
from tests.python.loops import python, run_turns
from triga import _core

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
