"""The Future that the native executor hands out, with triga's and the standard library's wait() and as_completed()."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import weakref
from concurrent.futures import _base
from typing import Any

import pytest

import triga


@pytest.fixture
def future() -> Any:
    with triga.installed():
        from triga._threads.futures import Future

        return Future()


def test_is_a_future_of_the_standard_library(future: Any) -> None:
    assert isinstance(future, concurrent.futures.Future)
    assert (future._state, future._result, future._exception, future._waiters) == ("PENDING", None, None, [])
    assert repr(future) == f"<Future at {id(future):#x} state=pending>"


def test_result_and_exception(future: Any) -> None:
    assert future.set_running_or_notify_cancel()
    assert future.running()
    future.set_result(3)
    assert (future.result(), future.exception(), future.done(), future._state) == (3, None, True, "FINISHED")
    with pytest.raises(concurrent.futures.InvalidStateError, match=r"FINISHED: <Future at 0x.* returned int>"):
        future.set_result(4)


def test_raises_the_exception_that_was_set(future: Any) -> None:
    error = KeyError("x")
    future.set_exception(error)
    with pytest.raises(KeyError) as caught:
        future.result()
    assert caught.value is error
    assert "raised KeyError" in repr(future)


def test_timeout(future: Any) -> None:
    with pytest.raises(TimeoutError):
        future.result(timeout=0.001)
    with pytest.raises(TimeoutError):
        future.exception(0)


def test_cancel(future: Any) -> None:
    assert future.cancel()
    assert future.cancelled() and future.done()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert not future.set_running_or_notify_cancel()
    assert future._state == "CANCELLED_AND_NOTIFIED"


def test_starting_twice_is_refused(future: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert future.set_running_or_notify_cancel()
    with pytest.raises(RuntimeError, match="Future in unexpected state"):
        future.set_running_or_notify_cancel()
    assert "in unexpected state: RUNNING" in caplog.text


def test_callbacks_run_in_order_and_their_errors_are_logged(future: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []
    future.add_done_callback(seen.append)
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda done: seen.append(done.result()))
    future.set_result(5)
    future.add_done_callback(seen.append)
    assert seen == [future, 5, future]
    assert "exception calling callback for" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("module", [concurrent.futures, _base])
def test_wait_and_as_completed_of_both_libraries(module: Any) -> None:
    with triga.installed(), concurrent.futures.ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(pow, i, 2) for i in range(20)]
        done, others = module.wait(futures)
        assert (done, others) == (set(futures), set())
        assert sorted(each.result() for each in module.as_completed(futures)) == [i * i for i in range(20)]
        mixed = [*futures, concurrent.futures.Future()]
        done, others = module.wait(mixed, timeout=0.01)
        assert (len(done), len(others)) == (20, 1)
        mixed[-1].set_result(None)
        assert set(module.as_completed(mixed)) == set(mixed)


def test_the_standard_librarys_wait_wakes_for_a_native_future(future: Any) -> None:
    waiter = threading.Thread(target=lambda: _base.Future.exception(future))
    condition = future._condition
    waiter.start()
    done = threading.Thread(target=future.set_result, args=(1,))
    done.start()
    with condition:
        condition.wait_for(future.done, timeout=30)
    waiter.join(30)
    assert future.done() and not waiter.is_alive()
    done.join()


def test_wait_returns_at_the_first_exception() -> None:
    with triga.installed(), concurrent.futures.ThreadPoolExecutor(2) as executor:
        gate = threading.Event()
        blocked = executor.submit(gate.wait)
        failing = executor.submit(int, "x")
        done, others = concurrent.futures.wait([blocked, failing], return_when=concurrent.futures.FIRST_EXCEPTION)
        assert (done, others) == ({failing}, {blocked})
        done, others = concurrent.futures.wait([blocked, failing], return_when=concurrent.futures.FIRST_COMPLETED)
        assert done == {failing}
        with pytest.raises(TimeoutError, match=r"1 \(of 2\) futures unfinished"):
            list(concurrent.futures.as_completed([blocked, failing], timeout=0.001))
        gate.set()


def test_asyncio_awaits_it(future: Any) -> None:
    async def main() -> Any:
        threading.Thread(target=future.set_result, args=("done",)).start()
        return await asyncio.wrap_future(future)

    assert asyncio.run(main()) == "done"


def test_arguments_and_results_are_not_kept() -> None:
    class Thing:
        pass

    with triga.installed(), concurrent.futures.ThreadPoolExecutor(1) as executor:
        argument = Thing()
        seen = weakref.ref(argument)
        future = executor.submit(lambda thing: Thing(), argument)
        del argument
        result = weakref.ref(future.result())
        executor.submit(int).result()
        gc.collect()
        assert seen() is None and result() is not None
        del future
        gc.collect()
        assert result() is None


def test_a_cycle_through_a_future_is_collected(future: Any) -> None:
    class Node:
        pass

    node = Node()
    seen = weakref.ref(node)
    node.future = future  # type: ignore[attr-defined]
    future.set_result(node)
    local = future
    del node, local
    # The fixture's own reference keeps the future: the cycle goes when its result does.
    future._result = None
    gc.collect()
    assert seen() is None


def test_as_completed_lets_go_of_standard_futures_too() -> None:
    futures = [concurrent.futures.Future[int]() for _ in range(3)]
    for future in futures:
        future.set_result(1)
    with triga.installed():
        for future in concurrent.futures.as_completed(futures):
            futures.remove(future)
            seen = weakref.ref(future)
            del future
            gc.collect()
            assert seen() is None
