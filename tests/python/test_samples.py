"""The samples run unchanged, print what they print under plain Python, and it is the C++ core that runs them.

Two witnesses for the last: the core's own counters, and a probe (tests/python/probe) that sees whether a function of
the standard library's implementation ran anywhere in the program or its children.

TRIGA_TEST_PYTHONS names the interpreters to try, separated by ``:``; triga has to be installed for each. Without it,
the one that runs the tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from pysamples import article_source  # noqa: E402
from pysamples.catalogue import SAMPLES, Sample, add_up, shortfalls  # noqa: E402

PYTHONS = [name for name in os.environ.get("TRIGA_TEST_PYTHONS", "").split(os.pathsep) if name] or [sys.executable]
PROBE = ROOT / "tests" / "python" / "probe"
TIME_LIMIT = 100

# What the probe sees when the standard library runs a sample: the words that its findings start with, by kind of work.
STOCK = {
    "threads": ("_thread:",),
    "thread pools": ("concurrent/futures/thread.py:",),
    "processes": ("multiprocessing/popen_", "multiprocessing/forkserver.py:"),
    "process pools": ("multiprocessing/pool.py:", "concurrent/futures/process.py:"),
    "loops": ("asyncio/", "selectors.py:"),
}
STOCK_OF = {
    "article/thread_function": {"threads"},
    "article/thread_subclass": {"threads"},
    "article/thread_pool": {"threads", "thread pools"},
    "article/process_function": {"processes"},
    "article/process_subclass": {"processes"},
    "article/process_pool": {"threads", "processes", "process pools"},
    "article/async_run": {"loops"},
    "article/async_gather": {"loops"},
    "article/async_generator": {"loops"},
    "crawler": {"threads", "thread pools", "loops"},
    "batch_job": {"threads", "processes", "process pools"},
}


def clean_environment(**more: str) -> dict[str, str]:
    """Ours, without what would switch triga or the probe on."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIGA")}
    return inherited | {"PYTHONIOENCODING": "utf-8"} | more


@dataclass(frozen=True)
class Outcome:
    """What one run of a sample printed, counted, and which kinds of stock implementation (of STOCK) ran in it."""

    output: str
    errors: str
    counters: list[dict[str, int]]
    stock: set[str]


def lines_of(file: Path) -> list[str]:
    """The lines of a file that need not exist."""
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@cache
def run(python: str, sample: Sample, *, runner: tuple[str, ...] = (), triga: str = "0", probe: bool = False) -> Outcome:
    """Runs the sample as ``python *runner sample``, once for all tests that ask; fails if it does not exit with 0."""
    with tempfile.TemporaryDirectory() as folder:
        stats, seen = Path(folder, "stats"), Path(folder, "probe")
        environment = clean_environment(TRIGA=triga, TRIGA_STATS=str(stats))
        if probe:
            environment |= {"TRIGA_PROBE": str(seen), "PYTHONPATH": str(PROBE)}
        ended = subprocess.run(
            [python, *runner, str(sample.file), *sample.arguments],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=TIME_LIMIT,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        names = lines_of(seen)
        stock = {kind for kind, starts in STOCK.items() if any(name.startswith(starts) for name in names)}
        return Outcome(ended.stdout, ended.stderr, [json.loads(line) for line in lines_of(stats)], stock)


def plain(python: str, sample: Sample) -> Outcome:
    """The sample under plain Python, with the probe."""
    return run(python, sample, probe=True)


def native(python: str, sample: Sample) -> Outcome:
    """The sample under ``python -m triga``."""
    return run(python, sample, runner=("-m", "triga"))


def messages(sample: Sample, output: str) -> list[str]:
    """The output's lines; where the program leaves their order free, its messages sorted, and what is between them."""
    if not sample.message:
        return output.splitlines(keepends=True)
    return [*sorted(re.findall(sample.message, output)), re.sub(sample.message, "", output)]


@pytest.fixture(params=PYTHONS, ids=lambda path: Path(path).parent.parent.name)
def python(request: pytest.FixtureRequest) -> str:
    """Each interpreter that is to be tried."""
    name: str = request.param
    return name


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.name)
def sample(request: pytest.FixtureRequest) -> Sample:
    """Each program of pysamples/."""
    each: Sample = request.param
    return each


def test_output_is_that_of_plain_python(python: str, sample: Sample) -> None:
    outcome = native(python, sample)
    assert messages(sample, outcome.output) == messages(sample, plain(python, sample).output)
    if not sample.prints_timing:
        assert outcome.errors == ""


def test_counters_show_the_core_at_work(python: str, sample: Sample) -> None:
    assert shortfalls(sample, add_up(native(python, sample).counters)) == []


def test_standard_library_did_not_run_it(python: str, sample: Sample) -> None:
    assert run(python, sample, triga="1", probe=True).stock == set()


def test_probe_sees_the_standard_library(python: str, sample: Sample) -> None:
    """Without triga the probe finds what it looks for, so that finding nothing means something."""
    assert plain(python, sample).stock == STOCK_OF[sample.name]


def test_a_part_switched_off_stays_the_standard_librarys(python: str) -> None:
    thread_pool = next(sample for sample in SAMPLES if sample.name == "article/thread_pool")
    assert run(python, thread_pool, triga="loop", probe=True).stock == STOCK_OF[thread_pool.name]


def test_every_sample_is_listed() -> None:
    article = {f"article/{name}" for name in article_source.NAMES}
    assert {sample.path for sample in SAMPLES} >= article
    for sample in SAMPLES:
        assert "triga" not in sample.file.read_text(encoding="utf-8"), "a sample is standard-library code"


def test_article_snippets_are_what_was_copied() -> None:
    sums = article_source.recorded_sums()
    assert set(sums) == set(article_source.NAMES) == {path.name for path in article_source.ARTICLE.glob("*.py")}
    for name, digest in sums.items():
        assert hashlib.sha256((article_source.ARTICLE / name).read_bytes()).hexdigest() == digest, name


def test_article_snippets_extracted_anew() -> None:
    article = Path(os.environ.get("TRIGA_ARTICLE", ROOT.parent / "shared" / "article.md"))
    if not article.exists():
        pytest.skip("the article itself is not beside this checkout (TRIGA_ARTICLE=FILE names it)")
    assert article_source.differing(article_source.snippets(article.read_bytes().decode())) == []
