"""A pytest plugin: what fails on the standard library's own arm runs once more, and is named if it then passes.

That arm says whether a test asks for what the standard library keeps; it does not test triga. The standard library has
races of its own (a forkserver that ends with an interrupted handshake, say), and each of them would otherwise fail the
run some day. Twice in a row is a failure. What runs under triga is never repeated.
"""

from __future__ import annotations

import pytest
from _pytest.runner import runtestprotocol

RACES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Makes the list of tests that passed at the second try."""
    config.stash[RACES] = []


def _is_standard_arm(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "stdlib" in callspec.params.values()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Runs a test of the standard library's arm, and once more if it failed."""
    if not _is_standard_arm(item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        item._initrequest()  # its fixtures anew; pytest has no public name for it
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports):
            item.config.stash[RACES].append(item.nodeid)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Names the tests whose standard arm failed once."""
    for test in config.stash[RACES]:
        terminalreporter.write_line(f"the standard library's own race (passed when run again): {test}")
