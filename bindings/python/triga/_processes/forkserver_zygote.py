"""What runs in the zygote that multiprocessing.forkserver manages, and in a clone of it."""

from __future__ import annotations

import atexit
import os
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

from triga._core import WorkingSet, Zygote
from triga._processes.launcher import OWN, PARENT
from triga._processes.main_code import offer
from triga._processes.preload import import_named
from triga._processes.tracker_clone import become_tracker
from triga._processes.zygote import ignore_terminal, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# As forkserver._boot() gives them: control socket, listener and what says that a client lives; and, unless there is a
# resource tracker, what is for one.
_SERVED = (OWN, OWN + 1, OWN + 2)
_FOR_TRACKER = (OWN + 3, OWN + 4)


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


def serve_forkserver(told: dict[str, Any]) -> None:
    """The forkserver's program. Returns, or ends in sys.exit(), in clones only."""
    if told["descriptors"] > len(_SERVED):
        become_tracker(*_FOR_TRACKER, (PARENT, *_SERVED))
    if not sys.flags.safe_path:
        sys.path.insert(0, "")  # as -c has it
    import_named(told["named"], told["path"], told["directory"])
    _preload(told)
    util._close_stdin()  # type: ignore[attr-defined]
    before = ignore_terminal()
    server = Zygote(PARENT, *_SERVED)
    pages = WorkingSet()
    settle()
    while (event := server.serve()) == "connection":
        _accept(server, told["authkey"])
    if event == "over":
        sys.exit()
    pages.populate()
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
        offer()
        code = spawn._main(data, parent_sentinel)
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        if runs_atexit:
            atexit._run_exitfuncs()
        pages.learn()
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
