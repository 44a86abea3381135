"""multiprocessing.forkserver on the C++ core: the forkserver that ``_forkserver`` starts and stops is a zygote.

It listens on an abstract address, so that no file is left behind when its parent is killed, and lets in only whoever
knows the key, on every version (the standard library asks for one from 3.14; before, a file's permissions kept others
out). The one connection is kept: each request on it starts a process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from multiprocessing import AuthenticationError, connection, reduction, resource_tracker, spawn

from triga._core import ChildProcess, Descriptor, socket_pair
from triga._processes.awaited_tracker import AwaitedTracker
from triga._processes.child import own_pidfd
from triga._processes.launcher import boot
from triga._processes.preload import standard_modules
from triga._processes.reserve import Reserve
from triga._processes.tracker import tracker_descriptor, tracker_known, tracker_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace

_KEY_BYTES = 32
_ANY = -1
_MOST_DESCRIPTORS = 256  # forkserver.MAXFDS_TO_SEND: the standard library refuses more, and so do we


class _Running:
    """A native forkserver and this process's connection to it. Of use only while it is `serving`.

    `tracker` is the resource tracker that it will make, until a start has taken it over.
    """

    def __init__(
        self, process: ChildProcess, alive: Descriptor, reserve: Reserve, key: bytes, tracker: AwaitedTracker | None
    ) -> None:
        self.process = process
        self.alive = alive
        self.serving = False
        self.reserve: Reserve | None = reserve
        self.reserve_key = key
        self.tracker = tracker

    def is_up(self) -> bool:
        return self.serving and self.process.poll() is None

    def end(self) -> None:
        """Ends the server if it runs, and waits for its end; to be called again if it was interrupted."""
        self.serving = False
        with contextlib.suppress(OSError):
            # Not only closed: a fork of this process may hold another copy of it.
            self.alive.shutdown()
        self.process.wait()
        if self.tracker is not None:
            self.tracker.drop()
        self.drop_reserve()
        self.alive.close()
        self.process.close()

    def drop_reserve(self) -> None:
        reserve, self.reserve = self.reserve, None  # first: closing it may be interrupted
        if reserve is not None:
            reserve.close()


def _running(server: Any) -> _Running | None:
    running: _Running | None = server.__dict__.get("_triga_running")
    return running


def _forget(server: Any) -> None:
    server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None
    server._forkserver_authkey = None
    server._triga_running = None  # last: until then an interrupted caller is told by it that there is more to do


def _drop_inherited(server: Any) -> None:
    """In a forked child, whose forkserver is its parent's."""
    server._lock._at_fork_reinit()
    running = _running(server)
    if running is not None:
        if running.reserve is not None:
            running.reserve.leave()
        if running.tracker is not None:
            running.tracker.leave()
        running.alive.close()
        running.process.close()
        _forget(server)


def _main_arguments(server: Any) -> dict[str, Any]:
    """What this version's ensure_running tells forkserver.main about the main module and the path."""
    if not server._preload_modules:
        return {"main": {}, "argv": None}
    data = spawn.get_preparation_data("ignore")
    arguments = {"sys_path": data.get("sys_path")}
    if sys.version_info >= (3, 14):
        # 3.11 to 3.13 ask for a key "main_path" that the data never has, so their forkserver does not import __main__.
        arguments["main_path"] = data.get("init_main_from_path")
    return {"main": arguments, "argv": data.get("sys_argv") if sys.version_info >= (3, 14) else None}


def _boot(server: Any, also: tuple[str, ...] = ()) -> None:
    """Starts the forkserver, which imports the modules ALSO beside those that this process has."""
    listener = socket.socket(socket.AF_UNIX)
    alive, theirs = socket_pair(socket.SOCK_STREAM)
    control, orders = socket_pair(socket.SOCK_SEQPACKET)
    reserve = Reserve(control)
    tracker = None if tracker_known() else AwaitedTracker()
    key = os.urandom(_KEY_BYTES)
    with listener, theirs, orders:
        listener.bind("\0triga-forkserver-" + os.urandom(16).hex())
        listener.listen()
        told = {
            "modules": [*standard_modules(), *also],
            "preload": server._preload_modules,
            "on_error": getattr(server, "_preload_on_error", "ignore"),
            "authkey": key,
            **_main_arguments(server),
        }
        given = [orders.fileno(), listener.fileno(), theirs.fileno()]
        if tracker is not None:
            given += tracker.descriptors()
        try:
            process = boot("forkserver", told, given)
        except OSError:
            alive.close()
            control.close()
            raise
        if tracker is not None:
            tracker.booted()
        running = _Running(process, alive, reserve, key, tracker)
        state = {
            "_triga_running": running,  # first: it tells an interrupted caller's successor what to clear away
            "_forkserver_address": listener.getsockname().decode(),
            "_forkserver_alive_fd": alive.fileno(),
            "_forkserver_pid": process.pid,
            "_forkserver_authkey": key,
        }
        for name, value in state.items():
            # So that after an uninstallation the standard library's code does not take this server for its own.
            server._triga_replace(server, name, value)
        running.serving = True


def ensure_running(self: Any) -> None:
    """Starts the forkserver if it does not run, which makes the resource tracker as well if there is none."""
    if is_left(self):
        self._triga_stock["ensure_running"](self)
        return
    with self._lock:
        if tracker_known() and not tracker_runs():
            resource_tracker.ensure_running()
        running = _running(self)
        if running is not None:
            if running.is_up():
                return
            running.end()
            _forget(self)
        elif self._forkserver_pid is not None:
            # The standard library's, from before the installation: it keeps what it has started until it ends.
            self._triga_before = (self._forkserver_pid, self._forkserver_alive_fd)
        _boot(self)


def prepare(server: Any, also: tuple[str, ...]) -> None:
    """Starts the forkserver if there is none, and orders its first clones, without waiting for any of it.

    For who is about to start a process and has something to do before. ALSO are modules that the clones will need and
    this process may not have. Where it fails, start() will say so.
    """
    if is_left(server):
        return
    with server._lock:
        if _running(server) is not None or server._forkserver_pid is not None:
            return
        try:
            _boot(server, also)
            server._triga_running.reserve.refill()
        except OSError:
            return


def _take_tracker(server: Any) -> None:
    with server._lock:
        running = _running(server)
        if running is not None and running.tracker is not None:
            running.tracker.adopt()
            running.tracker = None


def _stop_unlocked(self: Any) -> None:
    """Ends the forkserver and waits for its end."""
    running = _running(self)
    if running is None:
        self._triga_stock["_stop_unlocked"](self)
        return
    running.end()
    _forget(self)


def _note_preloading(server: Any, error: BaseException) -> None:
    note = "Forkserver process may have crashed during module preloading. Check stderr."
    fails = getattr(server, "_preload_on_error", "ignore") == "fail" and server._preload_modules
    if fails and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _connect(server: Any) -> Descriptor:
    """A control socket that the forkserver has accepted after each side has proved that it knows the key."""
    key = server._forkserver_authkey
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(server._forkserver_address)
        try:
            with connection.Connection(os.dup(client.fileno())) as wrapped:
                connection.answer_challenge(wrapped, key)
                connection.deliver_challenge(wrapped, key)
        except (EOFError, ConnectionError) as error:
            _note_preloading(server, error)
            raise
        ours, theirs = socket_pair(socket.SOCK_SEQPACKET)
        with theirs:
            try:
                reduction.sendfds(client, [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours


def _request(server: Any, descriptors: list[int]) -> ChildProcess:
    with server._lock:
        running = _running(server)
        if running is None or not running.serving:
            raise ConnectionResetError("another thread has stopped the forkserver")
        try:
            if running.reserve is None or running.reserve_key != server._forkserver_authkey:
                reserve = Reserve(_connect(server))
                running.drop_reserve()
                running.reserve, running.reserve_key = reserve, server._forkserver_authkey
            return running.reserve.start(None, descriptors, [_ANY] * len(descriptors))
        except AuthenticationError:
            raise
        except BaseException as error:
            # An answer may be on its way, which the next request must not take for its own.
            running.drop_reserve()
            if isinstance(error, (ConnectionError, EOFError)):
                _note_preloading(server, error)
                running.process.wait(1.0)  # a killed server resets the connection a moment before it is seen to end
            raise


def start(server: Any, data: int, inherited: list[int]) -> ChildProcess:
    """A clone of the forkserver that reads what to run from DATA and has INHERITED as its inherited descriptors."""
    if len(inherited) + 4 >= _MOST_DESCRIPTORS:
        raise ValueError("too many fds")
    for attempt in (1, 2):
        server.ensure_running()
        _take_tracker(server)
        try:
            return _request(server, [data, own_pidfd(), tracker_descriptor(), *inherited])
        except (ConnectionError, EOFError):
            # It was killed just now; but one that its preloading broke would only break again.
            if attempt == 2 or getattr(server, "_preload_on_error", "ignore") == "fail":
                raise
    raise AssertionError("not reached")


def connect_to_new_process(self: Any, fds: list[int]) -> tuple[int, int]:
    """As the standard library does, by its own server: the native one reports an end by a pidfd, not in a pipe."""
    leave_to_standard_library(self)
    descriptors: tuple[int, int] = self._triga_stock["connect_to_new_process"](self, fds)
    return descriptors


def is_left(server: Any) -> bool:
    """True once the standard library's forkserver has taken over in this process."""
    return bool(server.__dict__.get("_triga_left"))


def leave_to_standard_library(server: Any) -> None:
    """From now on in this process, the forkserver that runs is the standard library's."""
    if not is_left(server):
        server._stop()
        server._triga_left = True


def patch_forkserver(module: ModuleType, replace: Replace) -> None:
    """The class's methods, and the names that the module has bound to its one instance's."""
    server = module._forkserver
    names = ("ensure_running", "_stop_unlocked", "connect_to_new_process")
    server._triga_replace = replace
    server._triga_stock = {name: getattr(module.ForkServer, name) for name in names}
    for function in (ensure_running, _stop_unlocked, connect_to_new_process):
        replace(module.ForkServer, function.__name__, function)
        if function.__name__ in vars(module):
            replace(module, function.__name__, getattr(server, function.__name__))
    os.register_at_fork(after_in_child=lambda: _drop_inherited(server))
