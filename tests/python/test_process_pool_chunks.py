"""How Pool.map divides its items where it is told no chunksize."""

from __future__ import annotations

import multiprocessing
from functools import partial
from typing import Any

import triga
from triga._processes.paces import Paces

ITEMS, WORKERS = 1000, 2
STANDARD = 8  # chunks: four a worker


def chunks(paces: Paces, function: Any = abs) -> int:
    return paces.plan(function, ITEMS, WORKERS).count(ITEMS)


def test_a_function_that_was_never_mapped_ends_in_single_items() -> None:
    plan = Paces().plan(abs, ITEMS, WORKERS)
    assert plan.count(ITEMS) > STANDARD
    assert plan.count(1) == 1


def test_short_items_get_the_standard_chunks() -> None:
    paces = Paces()
    paces.note(abs, ITEMS, WORKERS, ITEMS * 1e-6 / WORKERS)
    assert chunks(paces) == STANDARD


def test_the_longer_the_items_the_smaller_the_last_chunks() -> None:
    counts = []
    for seconds in (2e-6, 20e-6, 200e-6):
        paces = Paces()
        paces.note(abs, ITEMS, WORKERS, ITEMS * seconds / WORKERS)
        counts.append(chunks(paces))
    assert counts == sorted(counts)
    assert counts[-1] == chunks(Paces())


def test_what_was_learned_of_one_function_says_nothing_of_another() -> None:
    paces = Paces()
    paces.note(abs, ITEMS, WORKERS, ITEMS * 1e-6 / WORKERS)
    assert chunks(paces, str) == chunks(Paces(), str)


class Unspeakable:
    """An argument whose repr must not be asked for: it may be as long as a book."""

    def __repr__(self) -> str:
        raise AssertionError("repr() of an argument, for each map")


def second(_first: Any, value: int) -> int:
    return value


def test_a_partials_arguments_are_not_looked_at() -> None:
    paces = Paces()
    paces.note(partial(second, Unspeakable()), ITEMS, WORKERS, ITEMS * 1e-6 / WORKERS)
    assert chunks(paces, partial(second, Unspeakable())) == STANDARD
    with triga.installed(), multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(partial(second, Unspeakable()), range(50)) == list(range(50))
