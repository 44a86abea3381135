"""The conformance referee itself, on a module made to fail, hang and crash in known places."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.conformance import known  # noqa: E402
from tests.conformance.arm import Arm, list_tests, run_tests  # noqa: E402
from tests.conformance.compare import Comparison, differs, wanted  # noqa: E402
from tests.conformance.interpreter import Interpreter, examine  # noqa: E402
from tests.conformance.outcome import Outcome  # noqa: E402
from tests.conformance.suites import select  # noqa: E402

MODULE = """
import os, time, unittest

class A(unittest.TestCase):
    def test_1_passes(self): pass
    def test_2_hangs(self): time.sleep(3600)
    def test_3_fails(self): self.fail("on purpose")
    def test_4_crashes(self): os.abort()
    def test_5_skips(self): self.skipTest("why not")
    def test_6_in_parts(self):
        for n in range(3):
            with self.subTest(n=n): self.assertNotEqual(n, 1)
    def test_7_leaves_a_process(self):
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", __file__], start_new_session=True)

class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no such class")
    def test_never(self): pass
"""


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    found = examine(sys.executable)
    if not found.has_tests:
        pytest.skip("this interpreter came without CPython's test package, which the referee's worker needs")
    return found


@pytest.fixture
def arm(interpreter: Interpreter, tmp_path: Path) -> Iterator[Arm]:
    (tmp_path / "sample.py").write_text(MODULE)
    yield Arm(interpreter, True, (), tmp_path / "logs", tmp_path)


def test_goes_on_past_hangs_and_crashes(arm: Arm) -> None:
    listed = list_tests(arm, "sample").listed
    assert len(listed) == 8
    limits = {"sample.A.test_2_hangs": 1.0}
    ended: list[str] = []
    run = run_tests(arm, "sample", listed, lambda t: limits.get(t, 60.0), lambda test, outcome: ended.append(test))
    short = {name.rpartition(".")[2]: outcome.outcome for name, outcome in run.outcomes.items()}
    assert short == {
        "test_1_passes": "pass",
        "test_2_hangs": "hang",
        "test_3_fails": "fail",
        "test_4_crashes": "crash",
        "test_5_skips": "skip",
        "test_6_in_parts": "fail",
        "test_7_leaves_a_process": "pass",
        "test_never": "error",
        "B)": "error",
    }
    assert sorted(ended) == sorted(listed)
    assert "no such class" in run.outcomes["sample.B.test_never"].excerpt
    assert "SIGABRT" in run.outcomes["sample.A.test_4_crashes"].excerpt


def test_what_a_worker_left_running_is_ended(arm: Arm) -> None:
    run = run_tests(arm, "sample", ["sample.A.test_7_leaves_a_process"], lambda t: 60.0, lambda t, o: None)
    assert run.outcomes["sample.A.test_7_leaves_a_process"].outcome == "pass"
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(arm.path).encode() in (process / "cmdline").read_bytes():
                left.append(process.name)
    assert left == []


def test_a_lost_pass_differs_and_a_shared_failure_does_not() -> None:
    ok, failed, skipped = Outcome("pass"), Outcome("fail"), Outcome("skip")
    assert differs(ok, failed)
    assert differs(ok, skipped)
    assert differs(skipped, failed)
    assert not differs(failed, failed)
    assert not differs(failed, ok)
    assert not differs(skipped, skipped)


def test_patterns_match_a_whole_name_or_a_part() -> None:
    test = "test.test_queue.CQueueTest.test_basic"
    assert wanted(test, None, ())
    assert wanted(test, ("CQueueTest",), ("test_bas*",))
    assert wanted(test, None, ("test.test_queue.*",))
    assert not wanted(test, ("PyQueueTest",), ())
    assert not wanted(test, None, ("basic",))


def test_a_listed_difference_that_passes_is_an_error() -> None:
    test = "test.test_queue.CQueueTest.test_basic"
    entries = [known.Known("*.test_basic", ("3.13",), "a reason")]
    comparison = Comparison("test.test_queue", [test], {test: Outcome("pass")}, {test: Outcome("pass")})
    assert len(known.objections(comparison, "3.13", entries)) == 1
    assert known.objections(comparison, "3.12", entries) == []
    comparison.triga[test] = Outcome("fail", excerpt="boom")
    comparison.differences = [test]
    assert known.objections(comparison, "3.13", entries) == []
    assert known.objections(comparison, "3.12", entries) == [f"{test}: fail under triga: boom"]


def test_an_entry_without_a_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text('[[difference]]\nname = "x"\nversions = ["3.13"]\n')
    with pytest.raises(ValueError, match="difference 1 needs name, versions and reason"):
        known.load(path)


def test_the_list_of_known_differences_is_well_formed() -> None:
    known.load()


def test_suites_that_an_interpreter_lacks_are_named() -> None:
    selections, absent = select(["test_queue", "test_concurrent_futures"], {"test_queue": ["test_queue"]})
    assert [list(s.modules) for s in selections] == [["test.test_queue"]]
    assert absent == ["test_concurrent_futures"]
    with pytest.raises(ValueError, match="neither a suite"):
        select(["test_nothing"], {})
