"""An executor's map(), and ``executor.options(...)``: the executor with terms for the tasks."""

from __future__ import annotations

import itertools
from functools import partial

from triga._mapping import results_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from triga._processes.terms import Terms


def map_through(
    submitter: Any,
    module: Any,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
    progress: bool,
) -> Iterator[Any]:
    """``map(fn, *iterables)`` by the submitter's ``submit``; ``module`` is its ``concurrent.futures.process``."""
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    if progress:
        from triga._processes.progress import check_progress

        check_progress(progress)
    calls = zip(*iterables, strict=False)
    submit_all = partial(_submit_all, submitter)
    if chunksize == 1:
        results = results_of(submitter, submit_all, fn, calls, timeout, buffersize)
    else:
        chunks = ((chunk,) for chunk in iter(lambda: tuple(itertools.islice(calls, chunksize)), ()))
        many = partial(module._process_chunk, fn)
        results = module._chain_from_iterable_of_lists(
            results_of(submitter, submit_all, many, chunks, timeout, buffersize)
        )
    if not progress:
        return results
    from triga._processes.progress import shown, total_of

    return shown(results, total_of(*iterables))


def _submit_all(submitter: Any, fn: Callable[..., Any], calls: Iterator[Any]) -> list[Any]:
    submit = submitter.submit
    return [submit(fn, *args) for args in calls]


class Options:
    """``executor.options(...)``: submits to the executor, on terms of its own."""

    def __init__(self, executor: Any, module: Any, terms: Terms) -> None:
        self._executor = executor
        self._module = module
        self._terms = terms

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Submits as the executor does, on these terms."""
        return self._executor._submit(self._terms, fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[Any]:
        """Maps as the executor does, on these terms; ``timeout`` is for the results, as there."""
        return self._kept(map_through(self, self._module, fn, iterables, timeout, chunksize, buffersize, progress))

    def _kept(self, results: Iterator[Any]) -> Iterator[Any]:
        # The executor's own map() stops submitting when its executor is gone; this one keeps it.
        yield from results
