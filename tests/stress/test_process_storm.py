"""A thousand workers that die at random moments, a third by each start method."""

from __future__ import annotations

import pytest

from tests.python.test_process_pool_storm import run_storm


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_storm_of_a_thousand_deaths(method: str) -> None:
    run_storm(method, 334, list(range(8)), 1100)
