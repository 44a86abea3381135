"""What the short cuts of the loop's scheduling must not change: contexts, handles, timers, and who may call whom."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import random
import sys
import time
import weakref
from itertools import pairwise
from typing import Any

import pytest

import triga
from tests.python.loops import run_turns
from triga import _core

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default=None)


# ---- contexts: callbacks share one until somebody could tell ---------------------------------------------------------


def test_what_a_callback_sets_no_other_callback_sees(loop: Any) -> None:
    seen: list[Any] = []

    def callback(number: int) -> None:
        seen.append(variable.get())
        variable.set(number)

    for number in range(5):
        loop.call_soon(callback, number)
    loop.call_later(0, callback, 5)
    loop.call_soon_threadsafe(callback, 6)
    run_turns(loop, 3)
    assert seen == [None] * 7
    assert variable.get() is None


def test_a_callback_that_sets_a_variable_back_leaves_nothing_behind(loop: Any) -> None:
    seen: list[Any] = []

    def callback(number: int) -> None:
        seen.append(variable.get())
        token = variable.set(number)
        if number % 2:
            variable.reset(token)
        loop.call_soon(lambda: seen.append(variable.get()))

    for number in range(4):
        loop.call_soon(callback, number)
    run_turns(loop, 2)
    assert seen == [None] * 4 + [0, None, 2, None]


def test_handles_that_are_held_have_contexts_of_their_own(loop: Any) -> None:
    first, second = loop.call_soon(print), loop.call_soon(print)
    timer = loop.call_later(60, print)
    contexts = [handle._context for handle in (first, second, timer)]
    assert len({id(context) for context in contexts}) == 3
    contexts[0].run(variable.set, 1)
    assert [context.get(variable) for context in contexts] == [1, None, None]
    assert first._context is contexts[0]
    assert first.get_context() is contexts[0] if hasattr(first, "get_context") else True
    first.cancel()
    second.cancel()
    timer.cancel()


def test_a_running_callback_runs_in_its_handles_context(loop: Any) -> None:
    handles: list[Any] = []

    def callback() -> None:
        variable.set("set inside")

    handles.append(loop.call_soon(callback))
    reference: Any = weakref.ref(loop.call_soon(lambda: weak_seen.append(reference()._context)))
    weak_seen: list[Any] = []
    run_turns(loop)
    assert handles[0]._context[variable] == "set inside"
    assert isinstance(weak_seen[0], contextvars.Context)


def test_the_exception_handler_sees_what_the_failed_callback_set(loop: Any) -> None:
    told: list[Any] = []

    def callback() -> None:
        variable.set("before the failure")
        raise ValueError("expected")

    loop.set_exception_handler(lambda _, context: told.append(context["handle"]._context[variable]))
    loop.call_soon(callback)
    run_turns(loop)
    assert told == ["before the failure"]


# ---- handles: one that nobody holds is taken apart when the next is made ---------------------------------------------


def schedulers(loop: Any) -> list[Any]:
    """The methods that put a callback into the queue."""
    return [loop.call_soon, loop.call_soon_threadsafe]


def test_callbacks_run_in_order_whoever_holds_their_handles(loop: Any) -> None:
    seen: list[Any] = []
    held: list[Any] = []
    own = contextvars.copy_context()
    own.run(variable.set, "own")

    def callback(*args: int) -> None:
        seen.append((*args, variable.get()))

    for number in range(0, 300, 6):
        for at, call in enumerate(3 * schedulers(loop)):
            args = tuple(range(number + at, number + at + at // 2 + 1))
            handle = call(callback, *args, context=own) if at == 3 else call(callback, *args)
            if number % 7 == 0 or at == 4:
                held.append(handle)
            if number % 5 == 0 and at == 4:
                handle.cancel()
    loop.call_soon(callback)  # no arguments, no handle held
    loop.call_soon(callback).cancel()
    loop.call_soon(seen.append, "last")
    run_turns(loop)
    expected: list[Any] = []
    for number in range(0, 300, 6):
        for at in range(6):
            if not (number % 5 == 0 and at == 4):
                args = tuple(range(number + at, number + at + at // 2 + 1))
                expected.append((*args, "own" if at == 3 else None))
    assert seen == [*expected, (None,), "last"]


def test_a_failure_is_reported_with_the_handle_that_was_taken_apart(loop: Any) -> None:
    told: list[Any] = []

    def callback(*args: object) -> None:
        variable.set(args)
        raise ValueError(*args)

    own = contextvars.copy_context()
    own.run(variable.set, "own")
    loop.set_exception_handler(lambda _, context: told.append((context["handle"], context["exception"])))
    for call in schedulers(loop):
        for args in ((), (1,), (1, "two", 3)):
            call(callback, *args)
            call(callback, *args, context=own)
    loop.call_soon(lambda: None)  # takes the last one apart
    run_turns(loop)
    assert [exception.args for _, exception in told] == 2 * [(), (), (1,), (1,), (1, "two", 3), (1, "two", 3)]
    for at, (handle, exception) in enumerate(told):
        thread_safe = at >= 6 and sys.version_info >= (3, 14)
        assert type(handle).__name__ == ("_ThreadSafeHandle" if thread_safe else "Handle")
        assert (handle._callback, handle._args) == (callback, exception.args)
        if at % 2 == 1:
            assert handle._context is own
        else:
            assert handle._context[variable] == exception.args


def test_what_ends_the_program_leaves_a_callback_without_a_handle(loop: Any) -> None:
    def leave() -> None:
        raise SystemExit(3)

    seen: list[int] = []
    loop.call_soon(leave)
    loop.call_soon(seen.append, 1)
    with pytest.raises(SystemExit):
        loop.run_forever()
    run_turns(loop)
    assert seen == [1]


def test_a_handle_that_is_only_weakly_held_is_left_whole(loop: Any) -> None:
    seen: list[Any] = []
    reference: Any = weakref.ref(loop.call_soon(lambda: seen.append(reference()._args)))
    loop.call_soon(seen.append, 2)
    run_turns(loop)
    assert seen == [(), 2]
    assert reference() is None


def test_the_garbage_collector_forgets_handles_that_were_held_for_a_while(loop: Any) -> None:
    """One that is held is tracked, and stays so until it is freed, though nobody holds it when it is run."""

    def tracked() -> int:
        gc.collect()
        return sum(isinstance(each, asyncio.Handle) for each in gc.get_objects())

    seen: list[int] = []
    before = tracked()
    for method in schedulers(loop):
        held = [method(seen.append, number) for number in range(20)]
        method(seen.append, 20)
        held.clear()
        run_turns(loop)
        assert tracked() <= before
    assert seen == 2 * list(range(21))


def test_a_handle_with_arguments_that_a_program_changed_runs_with_them(loop: Any) -> None:
    seen: list[Any] = []
    loop.call_soon(seen.append, 1)._args = [2]  # which asyncio takes as well: callback(*handle._args)
    handle = loop.call_soon(seen.append, 3)
    handle._args = [4]
    loop.call_soon(seen.append, 5)
    run_turns(loop)
    assert seen == [2, 4, 5]


@pytest.mark.parametrize("count", range(6))
def test_arguments_are_as_given_and_go_with_the_callback(loop: Any, count: int) -> None:
    """Up to three lie in the native handle itself, till somebody asks for the tuple of them."""

    class Argument:
        pass

    seen: list[tuple[int, ...]] = []
    expected: list[tuple[int, ...]] = []
    gone: list[weakref.ref[Argument]] = []

    def callback(*args: Argument) -> None:
        seen.append(tuple(map(id, args)))

    held: list[Any] = []
    for call in (*schedulers(loop), functools.partial(loop.call_later, 0)):
        for use in ("none", "hold", "look", "cancel"):
            given = tuple(Argument() for _ in range(count))
            gone.extend(map(weakref.ref, given))
            handle = call(callback, *given)
            if use != "none":
                held.append(handle)
            if use == "look":
                assert handle._args == given
                assert handle._args is handle._args
            if use == "cancel":
                handle.cancel()
                assert handle._args is None
            else:
                expected.append(tuple(map(id, given)))
            del handle
    while len(seen) < len(expected):
        run_turns(loop)
    assert sorted(seen) == sorted(expected)
    held.clear()
    del given
    run_turns(loop)
    gc.collect()
    assert [each for each in gone if each() is not None] == []


def test_a_dropped_loop_with_pending_callbacks_is_collected(backend: str) -> None:
    class Owner:
        """In cycles with callbacks that are pending."""

    loop = asyncio.new_event_loop()
    owner = Owner()
    for call in schedulers(loop):
        for args in ((), (loop,), (loop, owner), (1, 2)):
            call(lambda *_, owner=owner: owner, *args)
            call(lambda *_, owner=owner: owner, *args, context=contextvars.copy_context())
    reference = weakref.ref(owner)
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del owner, loop, args, call
        gc.collect()
    assert reference() is None


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe"])
def test_a_burst_needs_the_memory_of_one_handle(method: str) -> None:
    loop: Any = triga.new_event_loop()
    try:
        schedule, ran = getattr(loop, method), 0

        def callback() -> None:
            nonlocal ran
            ran += 1

        schedule(callback)  # what the first one needs once
        before = sys.getallocatedblocks()
        for _ in range(5_000):
            schedule(callback)
        assert sys.getallocatedblocks() - before < 500
        run_turns(loop)
        assert ran == 5_001
    finally:
        loop.close()


def test_the_loop_keeps_no_contexts_values_once_it_has_run(loop: Any) -> None:
    class Value:
        """Anything that can be weakly referenced."""

    value = Value()
    reference = weakref.ref(value)

    def inside(kept: Value) -> None:
        variable.set(kept)
        loop.call_soon(lambda: None)
        run_turns(loop)

    contextvars.copy_context().run(inside, value)
    del value
    gc.collect()
    assert reference() is None


# ---- tasks' steps: _asyncio wants no handle of them ------------------------------------------------------------------


def test_a_subclass_sees_the_steps_of_tasks(backend: str) -> None:
    calls: list[Any] = []
    base: Any = asyncio.SelectorEventLoop

    class Watched(base):  # type: ignore[misc]
        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            handle = super().call_soon(callback, *args, context=context)
            calls.append(handle)
            return handle

    async def main() -> None:
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, int)

    with asyncio.Runner(loop_factory=Watched) as runner:
        assert isinstance(runner.get_loop(), _core.LoopBase) == (backend == "triga")
        runner.run(main())
    assert len(calls) >= 4
    assert all(isinstance(handle, asyncio.Handle) for handle in calls)


def test_what_a_done_callback_raises_goes_to_the_handler_with_a_handle(loop: Any) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    future = loop.create_future()

    def callback(done: Any) -> None:
        raise ValueError(done.result())

    future.add_done_callback(callback)
    future.set_result(5)
    run_turns(loop)
    (context,) = told
    assert isinstance(context["exception"], ValueError)
    assert isinstance(context["handle"], asyncio.Handle)
    assert getattr(context["handle"], "_callback") is callback  # noqa: B009
    assert "test_loop_scheduling" in context["message"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_leaves_a_future_callback(loop: Any, kind: type[BaseException]) -> None:
    future = loop.create_future()

    def callback(_: Any) -> None:
        raise kind

    future.add_done_callback(callback)
    future.set_result(None)
    with pytest.raises(kind):
        loop.run_forever()


def test_a_dropped_loop_with_pending_steps_is_collected(backend: str) -> None:
    class Owner:
        """In a cycle with a future whose callback is pending."""

        future: Any = None

    loop = asyncio.new_event_loop()
    owner = Owner()
    owner.future = loop.create_future()
    owner.future.add_done_callback(lambda _, owner=owner: owner)
    owner.future.set_result(loop)
    reference = weakref.ref(owner)
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del owner, loop
        gc.collect()
    assert reference() is None


def test_a_future_of_a_closed_loop_says_so(backend: str) -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.add_done_callback(print)
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        future.set_result(None)


# ---- timers ----------------------------------------------------------------------------------------------------------


def test_cancelled_timers_let_go_of_everything_at_once(loop: Any) -> None:
    class Argument:
        """Anything that can be weakly referenced."""

    argument = Argument()
    reference = weakref.ref(argument)
    handles = [loop.call_later(60, print, argument) for _ in range(3)]
    del argument
    for handle in (handles[1], handles[2], handles[0]):  # the last one first, and not
        handle.cancel()
        handle.cancel()
    assert reference() is None
    assert all(handle.cancelled() for handle in handles)
    run_turns(loop)
    assert len(loop._scheduled) == 0


def test_timers_fire_by_deadline_and_never_early_under_random_cancelling(loop: Any) -> None:
    rng = random.Random(8)
    fired: list[tuple[float, float]] = []
    live: dict[int, Any] = {}

    def fire(number: int, when: float) -> None:
        assert live.pop(number).when() == when
        fired.append((when, loop.time()))

    for number in range(2_000):
        delay = rng.randrange(40) / 2_000 + rng.random() * 1e-6
        when = loop.time() + delay
        live[number] = loop.call_at(when, fire, number, when)
        if rng.random() < 0.4:
            live.pop(rng.choice(list(live))).cancel()
    expected = sorted(handle.when() for handle in live.values())
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    order = [when for when, _ in fired]
    assert sorted(order) == expected
    # Within a nanosecond, triga's resolution, they are equal and fire as they were made.
    assert all(later - when > -1e-9 for when, later in pairwise(order))
    # The resolution of asyncio's own clock is what it allows itself to be early by; triga's loop is never early.
    slack = 0 if isinstance(loop, _core.LoopBase) else loop._clock_resolution
    assert all(now >= when - slack for when, now in fired)
    assert not live


def test_a_wait_of_microseconds_is_neither_skipped_nor_a_millisecond(loop: Any) -> None:
    # epoll_wait(2) counts milliseconds: a loop that rounds down spins, and one that rounds up is late. By the order of
    # two timers 200 us apart it can be told that they are two.
    seen: list[str] = []
    turns = 0

    def other_turn() -> None:
        nonlocal turns
        turns += 1

    now = loop.time()
    loop.call_at(now + 0.0202, seen.append, "second")
    loop.call_at(now + 0.0200, seen.append, "first")
    loop.call_at(now + 0.0201, other_turn)
    loop.call_at(now + 0.03, loop.stop)
    loop.run_forever()
    assert seen == ["first", "second"]
    assert turns == 1


def test_sleep_is_never_shorter_than_asked_for(loop: Any) -> None:
    async def main() -> None:
        for delay in (1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3):
            before = time.monotonic_ns()
            await asyncio.sleep(delay)
            assert time.monotonic_ns() - before >= delay * 1e9 or not isinstance(loop, _core.LoopBase)

    loop.run_until_complete(main())


# ---- executors -------------------------------------------------------------------------------------------------------
