"""Fixtures for the package's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import triga


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
