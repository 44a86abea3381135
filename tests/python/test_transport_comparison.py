"""Random operations on asyncio's transports and on triga's: what a program sees must be the same. (transport_play.py)

``make stress`` plays thousands (tests/stress/test_transport_comparison.py); TRIGA_SEED begins elsewhere.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import unix_events

import pytest

import triga
from tests.python import transport_play

FIRST = int(os.environ.get("TRIGA_SEED", "1"))


def compare(kind: str, seed: int) -> None:
    """Plays a seed on both loops; skips where asyncio's transport lacks what the play asks it."""
    if kind == "read pipe" and unix_events._UnixReadPipeTransport.is_reading is asyncio.ReadTransport.is_reading:
        pytest.skip("this version's read pipes have no is_reading() (gh-82495), and its pause_reading() differs")
    theirs = transport_play.play(kind, seed)
    with triga.installed():
        ours = transport_play.play(kind, seed)
    if kind in ("tcp", "unix"):
        known = transport_play.until_a_fault(theirs)
        ours, theirs = ours[:known], theirs[:known]
    assert ours == theirs, f"{kind} {seed}\n{transport_play.first_difference(ours, theirs)}"


@pytest.mark.parametrize("kind", transport_play.KINDS)
def test_both_loops_tell_the_same(kind: str) -> None:
    for seed in range(FIRST, FIRST + 20):
        compare(kind, seed)
