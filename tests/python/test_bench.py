"""The benchmark's arithmetic on made-up numbers, and one row measured for real."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench import report  # noqa: E402
from bench.__main__ import arguments, chosen_arms, command_of, measure_row  # noqa: E402
from bench.measure import Bench, Failed, Sample, last_line, sample_of  # noqa: E402
from bench.native_programs import build  # noqa: E402
from bench.results import Arm, Outcome  # noqa: E402
from bench.rows import ROWS, Floor, Row  # noqa: E402


def outcome(**arms: list[float]) -> Outcome:
    """An outcome of a loop row with these costs."""
    row = Row("loop", "made_up", "made up", "loop", peers=("uvloop", "rloop"), goal=2, reference="uvloop")
    return Outcome(row, {name: Arm([Sample(value, value, {}) for value in values]) for name, values in arms.items()})


def test_ratio_is_how_many_times_less_triga_costs() -> None:
    measured = outcome(stdlib=[9.0, 8.0, 30.0], triga=[3.0, 3.0, 3.0])
    assert measured.ratio("stdlib") == 3.0
    assert measured.ratio("uvloop") is None


def test_best_peer_is_the_one_that_costs_least() -> None:
    measured = outcome(stdlib=[9.0], triga=[3.0], uvloop=[4.0, 5.0, 6.0], rloop=[4.5])
    assert measured.best_peer() == "rloop"


def test_behind_means_more_than_noise() -> None:
    assert not outcome(triga=[10.0, 11.0], uvloop=[9.8, 10.6]).behind("uvloop")  # the spreads touch
    assert outcome(triga=[10.0, 10.1], uvloop=[9.8, 9.9]).behind("uvloop")  # they do not
    assert outcome(triga=[9.0, 12.0], uvloop=[8.0, 9.5]).behind("uvloop")  # a tenth worse
    assert not outcome(triga=[9.0], uvloop=[9.5]).behind("uvloop")


def test_verdict_says_where_triga_loses_and_misses_its_goal() -> None:
    lost = outcome(stdlib=[9.0], triga=[3.0], uvloop=[2.0]).verdict()
    assert "loses to uvloop" in lost and "goal missed" in lost
    assert outcome(stdlib=[9.0], triga=[3.0], uvloop=[6.5]).verdict().startswith("goal kept")


@pytest.mark.parametrize(("limit", "says"), [(2.5, "; at 1.2 times the limit"), (1.0, "; at 3 times the limit")])
def test_verdict_of_a_missed_goal_says_how_near_the_limit_is(limit: float, says: str) -> None:
    row = Row("loop", "made_up", "made up", "loop", peers=("uvloop",), goal=4, reference="uvloop")
    arms = {name: Arm([Sample(value, value, {})]) for name, value in {"triga": 3.0, "uvloop": 9.0}.items()}
    floors = {name: Arm([Sample(value, value, {})]) for name, value in {"far": 0.1, "near": limit}.items()}
    assert Outcome(row, arms, floors).verdict().endswith(says)


def test_an_arm_that_failed_is_shown() -> None:
    measured = outcome(stdlib=[9.0], triga=[3.0])
    measured.arms["uvloop"] = Arm(failure="exit code 1: no such loop")
    text = report.markdown({}, {"python": "3", "compiler": "", "packages": {}}, [measured], "test")
    assert "made up: uvloop: exit code 1: no such loop" in text


def test_units() -> None:
    answer = {"operations": 1000, "seconds": 2.0, "cpu": 1.0, "bytes": 5_000}
    assert sample_of("us", answer).value == 2_000
    assert sample_of("ms", answer).value == 2
    assert sample_of("us CPU", answer).value == 1_000
    assert sample_of("bytes", answer).value == 5


def test_rows_are_unique_and_name_their_programs() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)
    for row in ROWS:
        if row.program == "pysamples":
            assert (ROOT / "pysamples" / f"{row.name}.py").exists()
        elif row.program == "pool":  # C++ against C++
            assert f'"{row.name}"' in (ROOT / "bench" / "native" / "pool" / "pool.cpp").read_text(encoding="utf-8")
        elif row.echo is None:
            program = (ROOT / "bench" / "programs" / f"{row.program}.py").read_text(encoding="utf-8")
            assert f"def {row.name}(" in program, row.key


def test_only_installed_peers_are_arms() -> None:
    row = Row("loop", "made_up", "made up", "loop", peers=("uvloop", "rloop"))
    options = argparse.Namespace(peers="all", arms="")
    assert chosen_arms(row, options, {"rloop": "1"}) == ["stdlib", "triga", "rloop"]
    assert chosen_arms(row, argparse.Namespace(peers="none", arms=""), {"rloop": "1"}) == ["stdlib", "triga"]


def test_a_result_names_the_command_that_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["loop", "--only", "pipe", "--scale", "0.3", "--rounds", "3", "--peers", "none"]
    monkeypatch.setattr(sys, "argv", ["bench", *command, "--json", "r.json"])
    said = command_of(arguments())
    assert said == "python -m bench loop --only pipe --rounds 3 --scale 0.3 --peers none"


def test_a_run_that_fails_says_why() -> None:
    with pytest.raises(Failed, match=r"exit code 3: the reason"):
        last_line([sys.executable, "-c", "import sys; print('the reason', file=sys.stderr); sys.exit(3)"], os.environ)


def test_a_row_is_measured_in_turns(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.key == "threads/queue_put_get")
    measured = Outcome(row)
    limits = [Floor("one call", ("python_call",)), Floor("no such limit", ("loop", "no_such_scenario", "least_loop"))]
    measure_row(Bench(sys.executable, tmp_path, 0.01), measured, ["stdlib", "triga"], limits, rounds=2)
    assert [len(measured.arms[name].samples) for name in ("stdlib", "triga")] == [2, 2]
    assert len(measured.floors["one call"].samples) == 2
    assert not measured.floors["no such limit"].samples and measured.floors["no such limit"].failure
    assert measured.arms["stdlib"].median > 0 and measured.arms["stdlib"].cpu_us > 0


# A server's processor time is counted in ticks of 10 ms, so there have to be thousands of messages.
@pytest.mark.parametrize(("program", "scale"), [("loop", 0.01), ("least_tls", 0.01), ("least_streams", 0.3)])
def test_a_limit_in_an_extension_runs_every_scenario_whose_limit_it_is(program: str, scale: float) -> None:
    """The least loop, the least streams, and the ssl module's objects with nothing around them."""
    limits = {floor for row in ROWS for floor in row.floors if floor.command[0] == program}
    assert limits
    for floor in limits:
        assert Bench(sys.executable, build(), scale).run_floor(floor).value > 0


def test_cpu_of_worker_processes_counts() -> None:
    """The meter of the process rows: a child burns 0.3 s, and the session's clock has to have seen it."""
    program = """
import sys, multiprocessing, time
sys.path.insert(0, sys.argv[1])
from meter import Meter
def burn():
    while time.process_time() < 0.3: pass
if __name__ == "__main__":
    with Meter(many_processes=True)(1):
        child = multiprocessing.get_context("fork").Process(target=burn)
        child.start()
        child.join()
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "bench" / "programs")],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
        timeout=60,
    )
    assert json.loads(answer.stdout)["cpu"] >= 0.25
