"""What runs in a zygote, and in a clone of it until multiprocessing.spawn takes over.

The first start of a program waits for all that is imported here, and by launcher.py in the program. So neither these
modules nor those that they import need typing, pathlib or logging, which are dear.
"""

from __future__ import annotations

# Not signal, whose calls make an enumeration's member of every number, on pages that are still shared.
import _signal  # type: ignore[import-not-found]
import gc
import io
import os
import pickle
import sys
from multiprocessing import process, resource_tracker, spawn

from triga._core import WorkingSet, Zygote, collapse_into_huge_pages, consolidate_heap, make_immortal
from triga._processes.launcher import CONFIGURATION, OWN, PARENT
from triga._processes.leave import Inherited, leave
from triga._processes.main_code import keep, offer
from triga._processes.preload import import_all, import_named
from triga._processes.tracker_clone import IGNORED as IGNORED_BY_TRACKER
from triga._processes.tracker_clone import track

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# A zygote is in its parent's process group, but what a person types at the terminal is meant for the program.
_FROM_TERMINAL = (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGTSTP)
# What the interpreter ignores from its start.
_IGNORED_BY_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)
_LAST_SIGNAL = 64


def _mask(numbers: Iterable[int]) -> int:
    return sum(1 << (number - 1) for number in numbers)


def main() -> None:
    """The zygote's program. Returns, or ends in sys.exit(), in clones only."""
    with os.fdopen(CONFIGURATION, "rb") as file:
        told = pickle.load(file)
    for descriptor in range(PARENT, OWN + told["descriptors"]):
        os.set_inheritable(descriptor, False)
    _install(frozenset(told["parts"]))
    serve = _serve_spawn
    if told["kind"] != "spawn":
        # Not above: a spawned process's first start would wait for what it needs beside.
        from triga._processes.forkserver_zygote import serve_forkserver as serve
    import_all(told["modules"])
    keep(told["main_path"])
    _share()
    serve(told)


def _install(parts: frozenset[str]) -> None:
    """Installs what the parent has installed, which TRIGA in the environment may have done already."""
    from triga._install import install_parts, installed_parts, uninstall

    if installed_parts() != parts:
        uninstall()
        install_parts(parts)


def ignore_terminal() -> dict[int, Any]:
    """Leaves the signals of the terminal's keys to the program. Returns what handled them before."""
    return {number: _signal.signal(number, _signal.SIG_IGN) for number in _FROM_TERMINAL}


def _share() -> None:
    # Before any module of the user's is there: what the standard library's consist of is never written to again for
    # its reference counts, so that the pages stay shared with the clones.
    make_immortal(gc.get_objects())
    gc.enable()


def settle() -> None:
    """What stands now is never looked at again by the collector, here or in a clone: its pages stay shared."""
    gc.collect()
    gc.freeze()
    consolidate_heap()
    collapse_into_huge_pages()


# The spawn method


def _let_go() -> int:
    """Leaves what a zygote must not hold, or be reached by. Returns the signals that were ignored, as a bit mask."""
    process.ORIGINAL_DIR = None  # type: ignore[attr-defined]
    os.chdir("/")
    ignored = _mask(number for number in range(1, _LAST_SIGNAL + 1) if _is_ignored(number))
    ignore_terminal()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    return ignored


def _serve_spawn(told: dict[str, Any]) -> None:
    known = frozenset(sys.modules)
    import_named(told["named"], told["path"], told["directory"])
    shared = frozenset(sys.modules)
    ignored = _let_go()
    server = Zygote(PARENT, control=OWN)
    pages = WorkingSet()
    settle()
    if server.serve() != "clone":
        os._exit(0)
    pages.populate()
    _run_spawned(server, ignored, Inherited(known, shared, pages))


def _run_spawned(server: Zygote, ignored: int, inherited: Inherited) -> None:
    entry = server.await_start()
    if entry is None:
        os._exit(0)
    (data, parent_sentinel, *others), wanted = entry
    head = _read_head(data)
    tracks = head["tracker"] is None
    _restore_signals(ignored, wanted | _mask(IGNORED_BY_TRACKER) if tracks else wanted)
    _take_streams(head["streams"])
    _take_environment(head["environment"])
    if tracks:
        os.close(parent_sentinel)
        leave(track(others[0]), Inherited(inherited.known, inherited.shared, None))
    resource_tracker._resource_tracker._fd = head["tracker"]  # type: ignore[attr-defined]
    offer()
    leave(spawn._main(data, parent_sentinel), inherited)


def _is_ignored(number: int) -> bool:
    try:
        return bool(_signal.getsignal(number) == _signal.SIG_IGN)
    except ValueError:
        return False


def _restore_signals(ignored: int, wanted: int) -> None:
    """Makes the disposition of every signal what it is after an exec with the signals WANTED ignored (bit masks)."""
    should = wanted | _mask(_IGNORED_BY_PYTHON)
    other = should ^ (ignored | _mask(_FROM_TERMINAL))
    while other:
        number = other.bit_length()
        other ^= 1 << (number - 1)
        default = _signal.default_int_handler if number == _signal.SIGINT else _signal.SIG_DFL
        try:
            _signal.signal(number, _signal.SIG_IGN if should >> (number - 1) & 1 else default)
        except (OSError, ValueError):
            continue  # one of those that cannot be changed


def _read_exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size > 0:
        part = os.read(descriptor, size)
        if not part:
            # The parent ended, or gave up, before it said what to run.
            os._exit(1)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _read_head(descriptor: int) -> dict[str, Any]:
    size = int.from_bytes(_read_exactly(descriptor, 8), "little")
    head: dict[str, Any] = pickle.loads(_read_exactly(descriptor, size))
    return head


def _take_streams(passed: list[int]) -> None:
    """Puts sys.stdin, stdout and stderr on the descriptors 0, 1 and 2 that the parent passed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if number not in passed:
            os.close(number)
            setattr(sys, name, None)
            setattr(sys, f"__{name}__", None)
        elif number > 0 and isinstance(stream, io.TextIOWrapper):
            # As the interpreter does at its start: lines at a terminal, blocks elsewhere; stderr always lines.
            lines = number == 2 or os.isatty(number)
            if stream.line_buffering != lines and not stream.write_through:
                stream.reconfigure(line_buffering=lines)


def _take_environment(variables: dict[bytes, bytes] | None) -> None:
    if variables is None:
        return
    for name in set(os.environb) - set(variables):
        del os.environb[name]
    for name, value in variables.items():
        if os.environb.get(name) != value:
            os.environb[name] = value
