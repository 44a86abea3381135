"""Native functions as numba and SciPy make them, run by submit_native() and parallel_for() with no GIL."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import pytest

import triga

HINT = "not installed; `make test-apps` installs the extra `apps`"
numba = pytest.importorskip("numba", reason=f"numba is {HINT}")
scipy = pytest.importorskip("scipy.special", reason=f"scipy is {HINT}")
numpy = pytest.importorskip("numpy")


def test_a_cfunc_of_numba_is_called_with_its_types() -> None:
    @numba.cfunc("float64(float64, int32)")
    def scaled(value: float, times: int) -> float:
        return value * times

    before = triga.stats()["native_calls"]
    with triga.ThreadPoolExecutor(2) as executor:
        futures = [executor.submit_native(scaled, 1.5, times) for times in range(100)]
        assert [future.result() for future in futures] == [1.5 * times for times in range(100)]
        with pytest.raises(TypeError):
            executor.submit_native(scaled, "text", 1)
        with pytest.raises(ValueError):
            executor.submit_native(scaled, 1.0, 1 << 40)
    assert triga.stats()["native_calls"] == before + 100


def test_a_loop_over_arrays_runs_in_a_cfunc_of_numba() -> None:
    @numba.cfunc("void(int64, int64, CPointer(float64), CPointer(float64))")
    def roots(begin: int, end: int, source: Any, target: Any) -> None:
        for i in range(begin, end):
            target[i] = source[i] ** 0.5

    source = numpy.arange(200_000, dtype=numpy.float64)
    target = numpy.zeros_like(source)
    triga.parallel_for(roots, len(source), source, target)
    assert numpy.array_equal(target, source**0.5)
    with pytest.raises((TypeError, BufferError, ValueError)):
        triga.parallel_for(roots, len(source), source.astype(numpy.float32), target)
    with pytest.raises(ValueError):
        triga.parallel_for(roots, len(source), source, target[:10].copy())


def test_what_a_cfunc_takes_time_for_does_not_hold_up_python() -> None:
    @numba.cfunc("int64(int64)")
    def count_down(left: int) -> int:
        sum_of_all = 0
        while left:
            sum_of_all ^= left * left
            left -= 1
        return sum_of_all

    begun = threading.Event()
    with triga.ThreadPoolExecutor(1) as executor:
        executor.submit(begun.set)
        future = executor.submit_native(count_down, 500_000_000)
        assert begun.wait(30)
        turns = 0
        while not future.done():
            turns += 1
    assert turns > 100, "this thread did not run beside it"


def test_a_low_level_callable_of_scipy_gets_its_user_data() -> None:
    """An integrand as scipy.integrate.quad takes it: a function, its signature and its data."""
    from scipy import LowLevelCallable
    from scipy.integrate import quad

    @numba.cfunc("float64(float64, voidptr)")
    def integrand(x: float, weight: Any) -> float:
        return numba.carray(weight, (1,), dtype=numba.float64)[0] * x * x

    weight = numpy.array([3.0])
    callable_ = LowLevelCallable(integrand.ctypes, ctypes.c_void_p(weight.ctypes.data))
    assert quad(callable_, 0, 1)[0] == pytest.approx(1.0)
    with triga.ThreadPoolExecutor(2) as executor:
        assert executor.submit_native(integrand, 2.0, weight).result() == 12.0
        futures = [executor.submit_native(callable_, x) for x in (1.0, 2.0, 4.0)]
        assert [future.result() for future in futures] == [3.0, 12.0, 48.0]


def test_capsules_that_cython_has_made() -> None:
    """Those of scipy.special: their names are their signatures, with a name for one parameter."""
    from scipy.special import cython_special

    with triga.ThreadPoolExecutor(1) as executor:
        for name, key in {"j0": "j0", "gammaln": "gammaln", "ndtr": "__pyx_fuse_1ndtr"}.items():
            made = executor.submit_native(cython_special.__pyx_capi__[key], 0.5, 0)
            assert made.result() == pytest.approx(getattr(scipy, name)(0.5))
