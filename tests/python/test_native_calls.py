"""submit_native() and parallel_for(): native functions on the workers, without the GIL."""

from __future__ import annotations

import array
import ctypes
import ctypes.util
import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, TimeoutError, wait
from pathlib import Path
from typing import Any

import pytest

import triga

libc = ctypes.CDLL(None)
libm = ctypes.CDLL("libm.so.6")
INT_P = ctypes.POINTER(ctypes.c_int)


def c_function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    """A function of a library with its types."""
    function = getattr(ctypes.CDLL(library._name), name)  # one of its own: types are attributes
    function.restype, function.argtypes = result, arguments
    return function


POW = c_function(libm, "pow", ctypes.c_double, ctypes.c_double, ctypes.c_double)
POWF = c_function(libm, "powf", ctypes.c_float, ctypes.c_float, ctypes.c_float)
ABS = c_function(libc, "abs", ctypes.c_int, ctypes.c_int)
MEMSET = c_function(libc, "memset", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
STRLEN = c_function(libc, "strlen", ctypes.c_size_t, ctypes.c_char_p)
USLEEP = c_function(libc, "usleep", ctypes.c_int, ctypes.c_uint)
FREXP = c_function(libm, "frexp", ctypes.c_double, ctypes.c_double, INT_P)


def run_program(text: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a program on triga's threads."""
    environment = {**os.environ, "TRIGA": "threads"}
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env=environment, timeout=timeout
    )


@pytest.fixture(name="body", scope="module")
def compiled_body(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """A library with bodies of loops, made by the compiler that built triga."""
    folder = tmp_path_factory.mktemp("bodies")
    source = folder / "bodies.c"
    source.write_text(
        """
        #include <stdint.h>
        #include <unistd.h>
        void square(int64_t begin, int64_t end, const double *in, double *out) {
          for (int64_t i = begin; i < end; ++i) out[i] = in[i] * in[i];
        }
        int fails_at(int64_t begin, int64_t end, int64_t where) { return begin <= where && where < end ? 17 : 0; }
        void mark(int64_t begin, int64_t end, int *times) { for (int64_t i = begin; i < end; ++i) ++times[i]; }
        void slow(int64_t begin, int64_t end) { for (int64_t i = begin; i < end; ++i) usleep(2000); }
        double weighted(double x, void *data) { return x * *(double *)data; }
        """
    )
    library = folder / "bodies.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    doubles = ctypes.POINTER(ctypes.c_double)
    loaded.square.restype, loaded.square.argtypes = None, [ctypes.c_int64, ctypes.c_int64, doubles, doubles]
    loaded.fails_at.argtypes = [ctypes.c_int64] * 3
    loaded.mark.restype, loaded.mark.argtypes = None, [ctypes.c_int64, ctypes.c_int64, INT_P]
    loaded.slow.restype, loaded.slow.argtypes = None, [ctypes.c_int64] * 2
    return loaded


def test_calls_ctypes_functions_of_every_class_of_types() -> None:
    before = triga.stats()["native_calls"]
    with triga.ThreadPoolExecutor(2) as executor:
        assert executor.submit_native(POW, 2, 10).result() == 1024.0
        assert executor.submit_native(POWF, 2, 0.5).result() == pytest.approx(math.sqrt(2), rel=1e-6)
        assert executor.submit_native(ABS, -7).result() == 7
        assert executor.submit_native(STRLEN, b"twelve bytes").result() == 12
        exponent = ctypes.c_int()
        assert executor.submit_native(FREXP, 12.0, exponent).result() == 0.75
        assert exponent.value == 4
        target = bytearray(4)
        address = executor.submit_native(MEMSET, target, ord("x"), 3).result()
        assert target == b"xxx\0"
        assert address == ctypes.addressof(ctypes.c_char.from_buffer(target))
        assert executor.submit_native(MEMSET, None, 0, 0).result() is None
    assert triga.stats()["native_calls"] == before + 7


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (POW, (1,), TypeError, r"pow\(\) takes 2 arguments here, got 1"),
        (POW, ("1", 2), TypeError, r"argument 1 of pow\(\): expected c_double, got str"),
        (ABS, (1.5,), TypeError, r"argument 1 of abs\(\): expected c_int, got float"),
        (ABS, (2**31,), ValueError, r"argument 1 of abs\(\): expected c_int, got an int that is out of its range"),
        (MEMSET, (b"constant", 0, 1), BufferError, r"argument 1 of memset\(\): .*got a read-only bytes"),
        (MEMSET, (memoryview(bytearray(8))[::2], 0, 1), BufferError, "not C-contiguous"),
        (MEMSET, (object(), 0, 1), TypeError, "which has no buffer"),
        (MEMSET, (ctypes.pointer(ctypes.c_int(1)), 0, 1), TypeError, "give the object that it points to"),
        (FREXP, (1.0, array.array("d", [0])), TypeError, "LP_c_int, got array.array with elements of format"),
        (STRLEN, (array.array("i", [0]),), TypeError, "expected c_char_p, got array.array with elements"),
    ],
)  # fmt: skip
def test_arguments_are_checked_before_anything_is_queued(
    function: Any, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with triga.ThreadPoolExecutor(1) as executor:
        with pytest.raises(error, match=message):
            executor.submit_native(function, *arguments)
        assert not executor._threads


def test_functions_that_cannot_be_called_say_why() -> None:
    class Pair(ctypes.Structure):
        _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_int))

    without_types = ctypes.CDLL("libm.so.6").sin
    by_value = ctypes.CFUNCTYPE(ctypes.c_int, Pair)(lambda pair: 0)
    long_double = ctypes.CFUNCTYPE(ctypes.c_longdouble)(lambda: 0.0)
    many = ctypes.CFUNCTYPE(None, *[ctypes.c_int] * 7)(lambda *_: None)
    pythons = ctypes.pythonapi.Py_IsInitialized
    pythons.argtypes = []
    with_errno = ctypes.CDLL("libm.so.6", use_errno=True).sin
    with triga.ThreadPoolExecutor(1) as executor:
        for function, message in [
            (without_types, "its argtypes are not set"),
            (by_value, "takes or returns Pair by value"),
            (long_double, "native calls do not know its type c_longdouble"),
            (many, "takes 7 integers and pointers and 0 floating-point numbers"),
            (pythons, "one of Python's own"),
            (with_errno, "use_errno"),
            (len, "expected a native function .*, got 'builtin_function_or_method'"),
        ]:
            with pytest.raises(TypeError, match=message):
                executor.submit_native(function)


def test_a_prepared_function_is_called_as_often_as_one_likes() -> None:
    power = triga.native_function(POW)
    assert triga.native_function(power) is power
    assert power.name == "pow"
    with triga.ThreadPoolExecutor(2) as executor:
        futures = [executor.submit_native(power, 2, each) for each in range(50)]
        assert [future.result() for future in futures] == [2.0**each for each in range(50)]


def test_a_python_callback_takes_the_gil_for_itself() -> None:
    seen = []
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda value: seen.append(value) or value + 1)
    with triga.ThreadPoolExecutor(1) as executor:
        assert executor.submit_native(callback, 41).result() == 42
    assert seen == [41]


def test_buffers_stay_exported_until_the_call_is_over() -> None:
    target = bytearray(8)
    with triga.ThreadPoolExecutor(1) as executor:
        gate = threading.Event()
        executor.submit(gate.wait)
        future = executor.submit_native(MEMSET, target, 1, 8)
        with pytest.raises(BufferError):
            target.extend(b"more")
        gate.set()
        future.result()
        target.extend(b"more")
    assert target == b"\1" * 8 + b"more"


# Two workers sleep in C for longer than either could with the GIL between them; a Python thread goes on meanwhile.
def test_native_calls_run_side_by_side_and_leave_the_gil_to_python() -> None:
    with triga.ThreadPoolExecutor(2) as executor:
        futures = [executor.submit_native(USLEEP, 300_000) for _ in range(2)]
        steps = 0
        while not all(future.done() for future in futures):
            steps += 1
    # A call that held the GIL would have let this loop make no step while it ran: a switch takes 5 ms at least.
    assert steps > 1000


def test_results_come_while_a_python_thread_is_busy_and_other_calls_run() -> None:
    stop = threading.Event()
    busy = threading.Thread(target=lambda: all(iter(lambda: not stop.is_set(), False)))
    busy.start()
    try:
        with triga.ThreadPoolExecutor(2) as executor:
            futures = [executor.submit_native(ABS, -each) for each in range(200)]
            assert [future.result() for future in futures] == list(range(200))
    finally:
        stop.set()
        busy.join()


def test_queued_native_calls_can_be_cancelled_and_running_ones_not() -> None:
    with triga.ThreadPoolExecutor(1) as executor:
        running = executor.submit_native(USLEEP, 100_000)
        while not running.running():
            time.sleep(0)
        queued = executor.submit_native(ABS, -1)
        assert queued.cancel()
        assert not running.cancel()
        with pytest.raises(CancelledError):
            queued.result()
        assert running.result() == 0
        assert wait([queued]).done == {queued}


def test_shutdown_with_pending_native_calls() -> None:
    executor = triga.ThreadPoolExecutor(1)
    futures = [executor.submit_native(USLEEP, 20_000) for _ in range(10)]
    executor.shutdown(wait=True, cancel_futures=True)
    assert all(future.done() for future in futures)
    assert any(future.cancelled() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit_native(ABS, 1)


def test_a_deadline_holds_for_native_calls_too() -> None:
    with triga.ThreadPoolExecutor(1) as executor:
        gate = threading.Event()
        executor.submit(gate.wait)
        late = executor.options(deadline=0.02).submit_native(ABS, -1)
        with pytest.raises(TimeoutError, match=r"its deadline was 0\.020 s"):
            late.result()
        gate.set()


def test_callbacks_and_the_standard_librarys_waiters_are_told() -> None:
    import asyncio

    async def main(executor: Any) -> float:
        return await asyncio.wrap_future(executor.submit_native(POW, 3, 2))

    with triga.ThreadPoolExecutor(1) as executor:
        told: list[float] = []
        future = executor.submit_native(POW, 2, 3)
        future.add_done_callback(lambda each: told.append(each.result()))
        assert asyncio.run(main(executor)) == 9.0
    assert told == [8.0]


def test_cffi_function_pointers() -> None:
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    ffi.cdef("double pow(double, double); size_t strlen(const char *); int printf(const char *, ...);")
    library = ffi.dlopen(None) if ffi.dlopen("libm.so.6") is None else ffi.dlopen("libm.so.6")
    callback = ffi.callback("int(int)", lambda value: value * 2)
    with triga.ThreadPoolExecutor(1) as executor:
        assert executor.submit_native(ffi.addressof(library, "pow"), 2.0, 5.0).result() == 32.0
        assert executor.submit_native(callback, 21).result() == 42
        with pytest.raises(TypeError, match="expected a cffi function pointer, got cdata"):
            executor.submit_native(ffi.new("int *"))


class _Cfunc:
    """What numba.cfunc() makes, as far as it is looked at."""

    def __init__(self, function: Any) -> None:
        self.ctypes = function
        self.address = ctypes.cast(function, ctypes.c_void_p).value


def test_a_numba_cfunc_is_called_by_its_ctypes_function() -> None:
    with triga.ThreadPoolExecutor(1) as executor:
        assert executor.submit_native(_Cfunc(POW), 2, 3).result() == 8.0


def capsule(address: int, name: bytes | None, context: int | None = None) -> Any:
    """A PyCapsule; its name has to outlive it, so the caller keeps it."""
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    made = new(address, name, None)
    if context is not None:
        set_context = ctypes.pythonapi.PyCapsule_SetContext
        set_context.restype, set_context.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_void_p]
        set_context(made, context)
    return made


class LowLevelCallable(tuple[Any, ...]):
    """SciPy's class, as far as it is looked at: (capsule, function, user_data), which is not to be indexed."""

    def __getitem__(self, index: Any) -> Any:
        raise ValueError


def test_capsules_whose_name_is_a_signature(body: ctypes.CDLL) -> None:
    address = ctypes.cast(body.weighted, ctypes.c_void_p).value
    assert address is not None
    weight = ctypes.c_double(2.5)
    with_data, without = b"double (double, void *)", b"double(double, const void*)"
    with_names = b"double (double value, void *weight)"
    given = capsule(address, with_data, ctypes.addressof(weight))
    with triga.ThreadPoolExecutor(1) as executor:
        assert executor.submit_native(given, 4.0).result() == 10.0
        assert executor.submit_native(LowLevelCallable((given, None, None)), 2.0).result() == 5.0
        assert executor.submit_native(capsule(address, without), 4.0, weight).result() == 10.0
        assert executor.submit_native(capsule(address, with_names), 4.0, weight).result() == 10.0
        for name, message in [
            (b"not a signature", "is no C signature"),
            (b"double (struct pair)", "unknown type 'struct pair'"),
            (None, "has no name"),
        ]:
            with pytest.raises(TypeError, match=message):
                executor.submit_native(capsule(address, name), 1.0)


def test_parallel_for_covers_every_index_once(body: ctypes.CDLL) -> None:
    n = 100_003
    before = triga.stats()["native_ranges"]
    for options in ({}, {"workers": 1}, {"workers": 3, "chunk": 1000}):
        times = array.array("i", bytes(4 * n))
        triga.parallel_for(body.mark, n, times, **options)
        assert times == array.array("i", [1]) * n
    with triga.ThreadPoolExecutor(2) as executor:
        times = array.array("i", bytes(4 * n))
        triga.parallel_for(body.mark, n, times, executor=executor)
        assert times == array.array("i", [1]) * n
    assert triga.stats()["native_ranges"] > before + 3
    triga.parallel_for(body.mark, 0, array.array("i"))


def test_parallel_for_reads_and_writes_buffers(body: ctypes.CDLL) -> None:
    source = array.array("d", range(10_000))
    target = array.array("d", bytes(80_000))
    triga.parallel_for(body.square, 10_000, source, target)
    assert target[9_999] == 9_999.0**2
    assert sum(target) == sum(each * each for each in range(10_000))


def test_parallel_for_checks_its_arguments(body: ctypes.CDLL) -> None:
    doubles = array.array("d", bytes(80))
    for error, message, arguments, options in [
        (ValueError, "with 10 along its first dimension, and the loop has 11", (11, doubles, doubles), {}),
        (TypeError, "with elements of format 'f'", (1, doubles, array.array("f", [1])), {}),
        (BufferError, "read-only", (1, doubles, memoryview(doubles).toreadonly()), {}),
        (TypeError, r"square\(\) takes 2 arguments here, got 1", (1, doubles), {}),
        (ValueError, "n: expected 0 or more", (-1, doubles, doubles), {}),
        (TypeError, "n: expected an int", (1.0, doubles, doubles), {}),
        (ValueError, "chunk: expected 1 or more", (1, doubles, doubles), {"chunk": 0}),
        (ValueError, "workers: expected 1 or more", (1, doubles, doubles), {"workers": 0}),
        (TypeError, "executor: expected triga's", (1, doubles, doubles), {"executor": object()}),
    ]:
        with pytest.raises(error, match=message):
            triga.parallel_for(body.square, *arguments, **options)
    with pytest.raises(TypeError, match="its first two parameters have to be integers"):
        triga.parallel_for(POW, 10)


def test_parallel_for_stops_at_a_failure_and_names_the_range(body: ctypes.CDLL) -> None:
    with pytest.raises(RuntimeError, match=r"fails_at\(\) returned 17 for the range 500 to 600"):
        triga.parallel_for(body.fails_at, 1_000, 555, chunk=100)


def test_parallel_for_is_cancelled_from_another_thread(body: ctypes.CDLL) -> None:
    cancel = triga.Cancellation()
    timer = threading.Timer(0.05, cancel.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        triga.parallel_for(body.slow, 10**9, chunk=1, cancel=cancel)
    timer.join()
    assert cancel.cancelled()
    with pytest.raises(CancelledError):
        triga.parallel_for(body.slow, 10, cancel=cancel)


def test_ctrl_c_ends_a_parallel_for(body: ctypes.CDLL) -> None:
    done = run_program(
        f"""
import ctypes, os, signal, threading, triga
body = ctypes.CDLL({body._name!r}).slow
body.restype, body.argtypes = None, [ctypes.c_int64] * 2
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    triga.parallel_for(body, 10**9, chunk=1)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_installed_the_standard_name_has_it_and_a_program_that_just_ends_waits_for_its_calls() -> None:
    done = run_program(
        """
import concurrent.futures, ctypes, os
usleep = ctypes.CDLL(None).usleep
usleep.argtypes = [ctypes.c_uint]
executor = concurrent.futures.ThreadPoolExecutor(2)
for _ in range(4):
    executor.submit_native(usleep, 20_000).add_done_callback(lambda future: os.write(1, b"%d\\n" % future.result()))
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0\n" * 4, "", 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_forgets_the_parents_calls_and_makes_its_own() -> None:
    done = run_program(
        """
import ctypes, os, triga
function = ctypes.CDLL(None).usleep
function.argtypes = [ctypes.c_uint]
executor = triga.ThreadPoolExecutor(1)
pending = [executor.submit_native(function, 50_000) for _ in range(5)]
pid = os.fork()
if pid == 0:
    with triga.ThreadPoolExecutor(1) as mine:
        code = mine.submit_native(function, 1).result()
    os._exit(code)
print(os.waitpid(pid, 0)[1], [future.result() for future in pending])
"""
    )
    assert (done.stdout, done.returncode) == ("0 [0, 0, 0, 0, 0]\n", 0), done.stderr


def test_a_native_call_of_a_library_that_is_gone_from_python_keeps_it(tmp_path: Path) -> None:
    with triga.ThreadPoolExecutor(1) as executor:
        gate = threading.Event()
        executor.submit(gate.wait)
        future = executor.submit_native(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 5))  # nobody else has it
        gate.set()
        assert future.result() == 5
