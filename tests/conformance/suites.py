"""The suites that judge triga, by the names that regrtest knows them by, and groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# regrtest runs each file of these packages as a suite of its own, in a process of its own; so do we.
SUITES = (
    "test_queue",
    "test_thread",
    "test_threading",
    "test_threading_local",
    "test_threadsignals",
    "test_threadedtempfile",
    "test_context",
    "test_sched",
    "test_concurrent_futures",
    "test_multiprocessing_fork",
    "test_multiprocessing_spawn",
    "test_multiprocessing_forkserver",
    "test_multiprocessing_main_handling",
    "test_asyncio",
)

# The files of test_asyncio whose loops come from new_event_loop, run, Runner, IsolatedAsyncioTestCase or
# asyncio.EventLoop(), so that a native loop is what they test; and the classes, where only some of a file's do.
# The rest of test_asyncio names a loop of the standard library or tests on mocks of it.
_ASYNCIO_WHOLE = (
    "buffered_proto", "context", "eager_task_factory", "free_threading", "futures2", "graph", "locks", "queues",
    "server", "server_context", "ssl", "sslproto", "staggered", "streams", "subprocess", "taskgroups", "threads",
    "timeouts", "waitfor",
)  # fmt: skip
_ASYNCIO_CLASSES = {
    "test_base_events": ("RunningLoopTests",),
    "test_events": ("TestPyGetEventLoop", "TestCGetEventLoop", "PolicyTests", "TestServer"),
    "test_runners": ("RunTests", "RunnerTests"),
    "test_tasks": ("RunCoroutineThreadsafeTests", "SleepTests", "CompatibilityTests", "GenericTaskTests"),
    "test_unix_events": ("TestFunctional", "TestFork", "PolicyTests"),
}  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Modules to run, by their full names; for some only the classes given (None: all)."""

    name: str
    modules: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)


def _asyncio_factory_loops() -> dict[str, tuple[str, ...] | None]:
    whole: dict[str, tuple[str, ...] | None] = {f"test_asyncio.test_{name}": None for name in _ASYNCIO_WHOLE}
    return whole | {f"test_asyncio.{name}": classes for name, classes in _ASYNCIO_CLASSES.items()}


_THREADS = ("test_queue", "test_thread", "test_threading_local")

# A group stands for several suites, or for part of one. The quick ones are what `make test` runs.
GROUPS: dict[str, tuple[str, ...]] = {
    "quick": (*_THREADS, "asyncio-quick", "asyncio-mixins"),
    "all": (*SUITES, "asyncio-mixins"),
    "smoke": (*_THREADS, *(f"test_asyncio.test_{name}" for name in ("locks", "server", "streams", "taskgroups"))),
}

# test_asyncio's mixins for any loop, which CPython runs on loops it names: our subclasses of them (adapted/) take the
# loop that asyncio.new_event_loop() gives.
ADAPTED = Path(__file__).with_name("adapted")
_MIXINS = ("buffered_proto", "events", "sendfile", "server", "sock_lowlevel", "sslproto")
PARTIAL: dict[str, dict[str, tuple[str, ...] | None]] = {"asyncio-quick": _asyncio_factory_loops()}


def select(names: Iterable[str], available: Mapping[str, list[str]]) -> tuple[list[Selection], list[str]]:
    """What ``names`` (suites, groups, or single files such as test_asyncio.test_streams) stand for, and what is absent.

    ``available`` maps a suite's name to its modules, as the interpreter under test has them. Raises ValueError for a
    name that is neither a suite nor a group.
    """
    selections, absent = [], []
    for name in _expand(names):
        suite, _, rest = name.partition(".")
        if name == "asyncio-mixins":
            if "test_asyncio" in available:
                selections.append(Selection(name, {f"adapted_{each}": None for each in _MIXINS}))
            else:
                absent.append(name)
            continue
        if name in PARTIAL:
            here = {m: c for m, c in PARTIAL[name].items() if m in available.get(m.partition(".")[0], ())}
        elif rest:
            here = {m: None for m in available.get(suite, ()) if m == name}
        elif suite in available or suite in SUITES:
            here = dict.fromkeys(available.get(suite, ()))
        else:
            raise ValueError(f"{name!r} is neither a suite of this interpreter nor a group ({', '.join(groups())})")
        if here:
            selections.append(Selection(name, {f"test.{module}": classes for module, classes in here.items()}))
        else:
            absent.append(name)
    return selections, absent


def groups() -> list[str]:
    """The names that stand for several suites or part of one."""
    return sorted([*GROUPS, *PARTIAL, "asyncio-mixins"])


def _expand(names: Iterable[str]) -> list[str]:
    flat: list[str] = []
    for name in names:
        flat += _expand(GROUPS[name]) if name in GROUPS else [name]
    return list(dict.fromkeys(flat))
