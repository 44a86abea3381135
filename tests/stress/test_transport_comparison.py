"""Thousands of random plays on asyncio's transports and on triga's; the few in CI are tests/python's."""

from __future__ import annotations

import os

import pytest

from tests.python import test_transport_comparison as short
from tests.python.transport_play import KINDS

PLAYS = int(os.environ.get("PLAYS", "2000"))


@pytest.mark.timeout(4000)
@pytest.mark.parametrize("kind", KINDS)
def test_both_loops_tell_the_same_for_long(kind: str) -> None:
    for seed in range(short.FIRST + 20, short.FIRST + 20 + PLAYS):
        short.compare(kind, seed)
