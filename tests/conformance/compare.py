"""One module in both arms: which tests differ, which of those only once, and which reached native code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tests.conformance.arm import Arm, list_tests, run_tests
from tests.conformance.cache import Cache
from tests.conformance.outcome import BAD, ERROR, PASS, SKIP, ModuleRun, Outcome

BASE_LIMIT = 300.0  # seconds for a test in the unpatched arm
MOST_RETRIES = 60  # a module with more failures than this is not suffering from noise

Tell = Callable[[str, str, Outcome], None]


@dataclass
class Comparison:
    """A module's tests with both outcomes each."""

    module: str
    tests: list[str]
    unpatched: dict[str, Outcome]
    triga: dict[str, Outcome]
    differences: list[str] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)  # failed once, passed when run again alone (or failed unpatched too)
    complete: bool = True  # whether every test of the module was asked for

    def passed(self, arm: dict[str, Outcome]) -> int:
        """How many tests passed in an arm."""
        return sum(arm[test].outcome == PASS for test in self.tests)

    def reached(self) -> int:
        """How many tests passed under triga and had the C++ core do something."""
        return sum(self.triga[test].outcome == PASS and self.triga[test].native for test in self.tests)


def differs(unpatched: Outcome, triga: Outcome) -> bool:
    """Whether triga takes away what the standard library gives: a pass that is one no longer, even if only skipped."""
    return unpatched.outcome == PASS != triga.outcome or (unpatched.outcome == SKIP and triga.outcome in BAD)


def wanted(test: str, classes: Iterable[str] | None, patterns: Iterable[str]) -> bool:
    """Whether a test is of one of the classes, and matches a pattern as a whole or in one of its dotted parts."""
    parts = test.split(".")
    of_class = classes is None or any(name in parts for name in classes)
    matches = [fnmatchcase(text, pattern) for pattern in patterns for text in (test, *parts)]
    return of_class and (any(matches) or not list(patterns))


class Referee:
    """Judges modules of one interpreter."""

    def __init__(self, unpatched: Arm, triga: Arm, cache: Cache, tell: Tell) -> None:
        self._unpatched = unpatched
        self._triga = triga
        self._cache = cache
        self._tell = tell

    def prepare(self, module: str, classes: Iterable[str] | None = None, patterns: Iterable[str] = ()) -> None:
        """Runs what is asked for of ``module`` in the unpatched arm only, as far as it is not known yet."""
        self._baseline(module, classes, patterns)

    def judge(self, module: str, classes: Iterable[str] | None = None, patterns: Iterable[str] = ()) -> Comparison:
        """Runs what is asked for of ``module`` in both arms, the unpatched one as far as it is not known yet."""
        known, tests = self._baseline(module, classes, patterns)
        found = self._run_triga(module, known, tests)
        result = Comparison(module, tests, known.outcomes, found.outcomes, complete=len(tests) == len(known.listed))
        extra = [name for name in found.outcomes if name not in set(tests)]
        result.differences = [name for name in extra if name not in known.outcomes]
        self._sift(result, [test for test in tests if differs(known.outcomes[test], found.outcomes[test])])
        return result

    def _baseline(
        self, module: str, classes: Iterable[str] | None, patterns: Iterable[str]
    ) -> tuple[ModuleRun, list[str]]:
        """The unpatched arm's outcomes, and the tests that are asked for."""
        known = self._cache.load(module)
        if not known.listed and not known.outcomes:
            known = list_tests(self._unpatched, module)
        tests = [test for test in known.listed if wanted(test, classes, patterns)]
        self._run_unpatched(module, known, [test for test in tests if test not in known.outcomes])
        return known, tests

    def _run_unpatched(self, module: str, known: ModuleRun, tests: list[str]) -> None:
        if tests:
            fresh = run_tests(self._unpatched, module, tests, lambda test: BASE_LIMIT, self._teller("unpatched"))
            known.outcomes |= fresh.outcomes
            _complete(known, tests)
        self._cache.store(module, known)

    def _run_triga(self, module: str, known: ModuleRun, tests: list[str]) -> ModuleRun:
        def limit(test: str) -> float:
            usual = known.outcomes[test].seconds if test in known.outcomes else BASE_LIMIT
            return min(BASE_LIMIT, 45 + 8 * usual)

        if not tests:
            return ModuleRun()
        run = run_tests(self._triga, module, tests, limit, self._teller("triga"))
        _complete(run, tests)
        return run

    def _sift(self, result: Comparison, suspects: list[str]) -> None:
        """Runs each test that differed once more alone, in both arms, and tells noise from differences."""
        for test in suspects[:MOST_RETRIES]:
            again = self._alone(self._triga, result.module, test, "triga again")
            fair = self._alone(self._unpatched, result.module, test, "unpatched again")
            if differs(fair, again):
                result.differences.append(test)
            else:
                result.flaky.append(test)
                if again.outcome == PASS:
                    result.triga[test] = again
        result.differences += suspects[MOST_RETRIES:]

    def _alone(self, arm: Arm, module: str, test: str, label: str) -> Outcome:
        run = run_tests(arm, module, [test], lambda test: BASE_LIMIT / 3, self._teller(label))
        _complete(run, [test])
        return run.outcomes[test]

    def _teller(self, arm: str) -> Callable[[str, Outcome], None]:
        return lambda test, outcome: self._tell(arm, test, outcome)


def _complete(run: ModuleRun, tests: list[str]) -> None:
    """Gives a test that never ran the reason why."""
    why = "; ".join(f"{name}: {o.excerpt.strip()[-300:]}" for name, o in run.outcomes.items() if " (" in name)
    for test in tests:
        if test not in run.outcomes:
            run.outcomes[test] = Outcome(ERROR, excerpt=f"did not run: {why or 'the module lacks it in this arm'}")
