"""Fixtures for the package's tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

import triga

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
