"""What a pool's feeder runs: the items of a large map or of imap become tasks."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import islice

from triga import _core
from triga._processes.crew import BACKLOG, Crew
from triga._processes.results import IMapIterator, MapResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def feeds_done(crew: Crew, closing: threading.Event) -> None:
    """The pool was closed while its feeder ran: its workers may end when all is done."""
    if closing.is_set():
        crew.core.finish()


def feed_map(
    crew: Crew,
    result: MapResult,
    terms: _core.TaskTerms,
    func: Any,
    items: Any,
    plan: _core.ChunkPlan,
    start: int,
    index: int,
) -> None:
    """Submits the rest of a sequence, as far as the workers keep up."""
    core = crew.core
    while start < len(items) and crew.running and crew.broken is None:
        crew.wait(core.wait_backlog, BACKLOG // 2)
        start, index = core.submit_chunks(result._batch, index, terms, func, items, plan, start, BACKLOG, result._fail)
    # As many as were announced, whatever has become of the list meanwhile.
    for missing in range(index, result._batch.expected()):
        result._fail(missing, crew.broken or RuntimeError("the pool was terminated"))


def feed_iterable_map(
    crew: Crew,
    result: MapResult,
    terms: _core.TaskTerms,
    func: Any,
    iterable: Any,
    plan: _core.ChunkPlan,
    chunks: int,
) -> None:
    """The same for what is only known to have a length."""
    try:
        items = tuple(iterable)
    except Exception as error:
        for index in range(chunks):
            result._fail(index, error)
        return
    feed_map(crew, result, terms, func, items, plan, 0, 0)


def feed_imap(
    crew: Crew, result: IMapIterator, terms: _core.TaskTerms, func: Any, iterable: Iterable[Any], chunksize: int
) -> None:
    """Submits what an iterator gives, as far as the workers keep up."""
    index = 0
    try:
        items = iter(iterable)
        while chunk := tuple(islice(items, chunksize)):
            if not crew.running or crew.broken is not None:
                raise crew.broken or RuntimeError("the pool was terminated")
            task = (func, chunk, None) if chunksize == 1 else (func, chunk)
            try:
                crew.core.submit(result._batch, index, terms, task)
            except Exception as error:
                result._fail(index, error)
            del chunk, task
            index += 1
            if crew.core.backlog_bytes() > BACKLOG:
                crew.wait(crew.core.wait_backlog, BACKLOG // 2)
    except Exception as error:
        result._fail(index, error)
        index += 1
    finally:
        result._batch.expect(index)
        crew.core.reconsider()
