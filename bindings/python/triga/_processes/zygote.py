"""What runs in a zygote, and in a clone of it until multiprocessing.spawn takes over."""

from __future__ import annotations

import atexit
import gc
import io
import os
import pickle
import signal
import sys
from multiprocessing import (
    AuthenticationError,
    connection,
    forkserver,
    process,
    reduction,
    resource_tracker,
    spawn,
    util,
)
from typing import TYPE_CHECKING, Any

from triga._core import Zygote, collapse_into_huge_pages, make_immortal
from triga._processes.launcher import CONFIGURATION, OWN, PARENT
from triga._processes.leave import leave
from triga._processes.main_code import keep
from triga._processes.preload import import_all, import_named

if TYPE_CHECKING:
    from collections.abc import Iterable

# A zygote is in its parent's process group, but what a person types at the terminal is meant for the program.
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
# What the interpreter ignores from its start.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_LAST_SIGNAL = 64


def _mask(numbers: Iterable[int]) -> int:
    return sum(1 << (number - 1) for number in numbers)


def main() -> None:
    """The zygote's program. Returns, or ends in sys.exit(), in clones only."""
    gc.disable()  # while the modules come, which are here to stay
    with os.fdopen(CONFIGURATION, "rb") as file:
        told = pickle.load(file)
    for descriptor in range(PARENT, OWN + told["descriptors"]):
        os.set_inheritable(descriptor, False)
    _install(frozenset(told["parts"]))
    import_all(told["modules"])
    keep(told["main_path"])
    _share()
    if told["kind"] == "spawn":
        _serve_spawn(told)
    else:
        _serve_forkserver(told)


def _install(parts: frozenset[str]) -> None:
    """Installs what the parent has installed, which TRIGA in the environment may have done already."""
    from triga._install import install_parts, installed_parts, uninstall

    if installed_parts() != parts:
        uninstall()
        install_parts(parts)


def _ignore_terminal() -> dict[int, Any]:
    return {number: signal.signal(number, signal.SIG_IGN) for number in _FROM_TERMINAL}


def _share() -> None:
    # Before any module of the user's is there: what the standard library's consist of is never written to again for
    # its reference counts, so that the pages stay shared with the clones.
    make_immortal(gc.get_objects())
    gc.enable()


def _settle() -> None:
    # What stands now is never looked at again by the collector, here or in a clone: its pages stay shared.
    gc.collect()
    gc.freeze()
    collapse_into_huge_pages()


# The spawn method


def _serve_spawn(told: dict[str, Any]) -> None:
    known = frozenset(sys.modules)
    import_named(told["named"], told["path"], told["directory"])
    shared = frozenset(sys.modules)
    process.ORIGINAL_DIR = None  # type: ignore[attr-defined]
    os.chdir("/")
    ignored = _mask(number for number in range(1, _LAST_SIGNAL + 1) if _is_ignored(number))
    _ignore_terminal()
    server = Zygote(PARENT, control=OWN)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    _settle()
    if server.serve() != "clone":
        os._exit(0)
    entry = server.await_start()
    if entry is None:
        os._exit(0)
    (data, parent_sentinel, *_), wanted = entry
    _restore_signals(ignored, wanted)
    head = _read_head(data)
    _take_streams(head["streams"])
    _take_environment(head["environment"])
    resource_tracker._resource_tracker._fd = head["tracker"]  # type: ignore[attr-defined]
    leave(spawn._main(data, parent_sentinel), known, shared)


def _is_ignored(number: int) -> bool:
    try:
        return signal.getsignal(number) is signal.SIG_IGN
    except ValueError:
        return False


def _restore_signals(ignored: int, wanted: int) -> None:
    """Makes the disposition of every signal what it is after an exec with the signals WANTED ignored (bit masks)."""
    should = wanted | _mask(_IGNORED_BY_PYTHON)
    other = should ^ (ignored | _mask(_FROM_TERMINAL))
    while other:
        number = other.bit_length()
        other ^= 1 << (number - 1)
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        try:
            signal.signal(number, signal.SIG_IGN if should >> (number - 1) & 1 else default)
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


# The forkserver method


def _preload(told: dict[str, Any]) -> None:
    """As forkserver.main of this version does before it serves."""
    modules, arguments = told["preload"], told["main"]
    handle = getattr(forkserver, "_handle_preload", None)
    if handle is not None:
        handle(modules, arguments.get("main_path"), arguments.get("sys_path"), told["argv"], told["on_error"])
        return
    if not modules:
        return
    if told["argv"] is not None:
        sys.argv[:] = told["argv"]
    if arguments.get("sys_path") is not None:
        sys.path[:] = arguments["sys_path"]
    if "__main__" in modules and arguments.get("main_path") is not None:
        process.current_process()._inheriting = True  # type: ignore[attr-defined]
        try:
            spawn.import_main_path(arguments["main_path"])
        finally:
            del process.current_process()._inheriting  # type: ignore[attr-defined]
    for name in modules:
        try:
            __import__(name)
        except ImportError:
            continue
    util._flush_std_streams()  # type: ignore[attr-defined]


def _serve_forkserver(told: dict[str, Any]) -> None:
    if not sys.flags.safe_path:
        sys.path.insert(0, "")  # as -c has it
    import_named(told["named"], told["path"], told["directory"])
    _preload(told)
    util._close_stdin()  # type: ignore[attr-defined]
    before = _ignore_terminal()
    server = Zygote(PARENT, listener=OWN, alive=OWN + 1)
    _settle()
    while (event := server.serve()) == "connection":
        _accept(server, told["authkey"])
    if event == "over":
        sys.exit()
    entry = server.await_start()
    if entry is None:
        os._exit(0)
    code = 1
    runs_atexit = sys.version_info >= (3, 13)
    try:
        if runs_atexit:
            atexit._clear()
            atexit.register(util._exit_function)  # type: ignore[attr-defined]
        for number, handler in before.items():
            signal.signal(number, handler)
        (data, parent_sentinel, tracker, *inherited), _ = entry
        forkserver._forkserver._inherited_fds = inherited  # type: ignore[attr-defined]
        resource_tracker._resource_tracker._fd = tracker  # type: ignore[attr-defined]
        code = spawn._main(data, parent_sentinel)
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        if runs_atexit:
            atexit._run_exitfuncs()
        os._exit(code)


def _accept(server: Zygote, authkey: bytes) -> None:
    """Lets a client that knows the key hand over the socket on which it will make its requests."""
    import socket

    with socket.socket(fileno=os.dup(server.listener)) as listener, listener.accept()[0] as client:
        try:
            with connection.Connection(os.dup(client.fileno())) as wrapped:
                connection.deliver_challenge(wrapped, authkey)
                connection.answer_challenge(wrapped, authkey)
            (control,) = reduction.recvfds(client, 1)
        except (EOFError, OSError, RuntimeError, AuthenticationError):
            return
        server.set_control(control)
