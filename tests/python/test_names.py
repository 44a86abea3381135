"""The native classes by their own names, with nothing installed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys

import pytest

import triga


def double(x: int) -> int:
    return 2 * x


def test_every_public_name_is_there_and_in_dir() -> None:
    for name in triga.__all__:
        assert getattr(triga, name) is not None
        assert name in dir(triga)
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        triga.nonesuch  # noqa: B018


def test_importing_triga_imports_none_of_the_modules_that_it_replaces() -> None:
    code = (
        "import sys; before = set(sys.modules); import triga; new = set(sys.modules) - before;"
        "print(new & {'threading', 'queue', 'asyncio', 'multiprocessing', 'concurrent.futures'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_run_uses_a_native_loop_and_returns_the_result() -> None:
    async def main() -> tuple[asyncio.AbstractEventLoop, str]:
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), "result"

    before = triga.stats()
    loop, result = triga.run(main())
    assert result == "result"
    assert loop.is_closed()
    assert not triga.installed_parts()
    assert triga.stats()["callbacks_run"] > before["callbacks_run"]


def test_run_inside_a_running_loop_says_what_to_do() -> None:
    async def inner() -> None:
        raise AssertionError("never run")

    async def main() -> None:
        coroutine = inner()
        try:
            with pytest.raises(RuntimeError, match="await the coroutine instead"):
                triga.run(coroutine)
        finally:
            coroutine.close()

    triga.run(main())


def test_new_event_loop_is_a_factory_for_the_runner() -> None:
    async def main() -> bool:
        return isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)

    before = triga.stats()
    with asyncio.Runner(loop_factory=triga.new_event_loop) as runner:
        assert runner.run(main())
    assert triga.stats()["callbacks_run"] > before["callbacks_run"]


def test_the_pool_runs_tasks_on_the_core() -> None:
    before = triga.stats()
    with triga.Pool(2) as pool:
        assert pool.map(double, range(20)) == [2 * x for x in range(20)]
        pool.close()
        pool.join()
    assert triga.stats()["messages_sent"] > before["messages_sent"]


def test_the_thread_pool_runs_tasks_on_the_core() -> None:
    assert not triga.installed_parts()
    before = triga.stats()
    with triga.ThreadPoolExecutor(2, thread_name_prefix="native") as executor:
        futures = [executor.submit(double, x) for x in range(20)]
        done, pending = concurrent.futures.wait(futures)
        assert [future.result() for future in futures] == list(executor.map(double, range(20)))
    assert (len(done), len(pending)) == (20, 0)
    assert isinstance(futures[0], concurrent.futures.Future)
    assert triga.stats()["tasks_run"] == before["tasks_run"] + 40


def test_the_process_pool_executor_runs_tasks_on_the_core() -> None:
    before = triga.stats()
    with triga.ProcessPoolExecutor(2) as executor:
        assert list(executor.map(double, range(20))) == [2 * x for x in range(20)]
        future = executor.submit(double, 4)
        assert concurrent.futures.wait([future]).done == {future}
    assert triga.stats()["process_tasks_run"] == before["process_tasks_run"] + 21


@pytest.mark.parametrize("name", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_an_executor_is_the_one_that_install_puts_in_place(name: str) -> None:
    native = getattr(triga, name)
    assert getattr(concurrent.futures, name) is not native
    with triga.installed():
        assert getattr(concurrent.futures, name) is native
    assert getattr(concurrent.futures, name) is not native
    with triga.installed():
        assert getattr(concurrent.futures, name) is native


def test_a_program_that_leaves_a_thread_pool_running_ends_when_its_tasks_are_done() -> None:
    code = (
        "import triga\nexecutor = triga.ThreadPoolExecutor(1)\nfor number in range(3): executor.submit(print, number)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", "")
