"""What the loop makes tasks of: create_task() with all that it takes."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import Any

import pytest


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
