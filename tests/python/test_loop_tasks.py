"""What the loop makes tasks of: create_task() with all that it takes."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import pickle
import sys
import types
from typing import Any

import pytest

from triga import _core


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
        task = asyncio.current_task()
        assert task is not None
        begun.append(task.get_name())
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


def test_asyncio_create_task_is_the_function_that_programs_know(loop: Any, backend: str) -> None:
    """Its looks, its errors, and whom it asks: the running loop, by whatever create_task() that has."""
    native = backend == "triga" and sys.version_info >= (3, 14)
    assert isinstance(asyncio.create_task, _core.FunctionLike if native else types.FunctionType)
    assert asyncio.create_task is asyncio.tasks.create_task
    assert inspect.isroutine(asyncio.create_task) and not inspect.iscoroutinefunction(asyncio.create_task)
    assert next(iter(inspect.signature(asyncio.create_task).parameters)) == "coro"
    assert asyncio.create_task.__module__ == "asyncio.tasks" and asyncio.create_task.__doc__
    assert pickle.loads(pickle.dumps(asyncio.create_task)) is asyncio.create_task

    async def nothing() -> int:
        return 7

    unused = nothing()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.create_task(unused)  # noqa: RUF006  # it raises: there is no task
    unused.close()

    async def main() -> None:
        asked: list[Any] = []

        def create_task(coroutine: Any, **options: Any) -> Any:
            asked.append(options)
            return type(loop).create_task(loop, coroutine, **options)

        assert await asyncio.create_task(nothing()) == 7
        assert await asyncio.create_task(coro=nothing(), name="by keyword") == 7
        context = contextvars.copy_context()
        named = asyncio.create_task(nothing(), name="named", context=context)
        assert (named.get_name(), await named) == ("named", 7)
        loop.create_task = create_task
        assert await asyncio.create_task(nothing(), context=context) == 7
        del loop.create_task
        assert [options["context"] for options in asked] == [context]
        coroutine = nothing()
        for arguments, options in ((), {}), ((coroutine, 1), {}), ((coroutine,), {"nmae": 1}):
            with pytest.raises(TypeError):
                asyncio.create_task(*arguments, **options)  # noqa: RUF006  # it raises: there is no task
        coroutine.close()

    loop.run_until_complete(main())


def test_a_task_of_debug_mode_says_where_it_was_created(loop: Any) -> None:
    async def nothing() -> None:
        pass

    async def main() -> list[str]:
        task: Any = asyncio.create_task(nothing())
        await task
        return [frame.name for frame in task._source_traceback]

    loop.set_debug(True)
    assert loop.run_until_complete(main())[-2:] == ["main", "create_task"]
