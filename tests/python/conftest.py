"""Fixtures for the package's tests."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

import triga
from triga import _core

pytest_plugins = ["standard_arm"]

# Who runs the tests in the background of a shell hands down an ignored SIGINT, also to every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["stdlib", "triga"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test twice: with the standard library as it is, and with every part of triga installed.

    The test must reach classes through their modules (``queue.Queue``), as install() changes the modules' names.
    """
    if request.param == "stdlib":
        yield "stdlib"
    else:
        with triga.installed():
            yield "triga"


@pytest.fixture
def native(backend: str) -> bool:
    """Is it triga's turn?"""
    return backend == "triga"


@pytest.fixture
def loop(backend: str) -> Iterator[Any]:
    """A new loop of the backend."""
    made = asyncio.new_event_loop()
    assert isinstance(made, _core.LoopBase) == (backend == "triga")
    yield made
    made.close()
