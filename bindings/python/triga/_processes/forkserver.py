"""multiprocessing.forkserver on the C++ core: the forkserver that ``_forkserver`` starts and stops is a zygote.

It listens on an abstract address, so that no file is left behind when its parent is killed, and lets in only whoever
knows the key, on every version (the standard library asks for one from 3.14; before, a file's permissions kept others
out). The one connection is kept: each request on it starts a process.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from multiprocessing import connection, reduction, resource_tracker, spawn
from typing import TYPE_CHECKING, Any

from triga._core import ChildProcess, zygote_start
from triga._processes.child import own_pidfd
from triga._processes.launcher import boot

if TYPE_CHECKING:
    from types import ModuleType

    from triga._patch import Replace

_KEY_BYTES = 32
_ANY = -1
_MOST_DESCRIPTORS = 256  # forkserver.MAXFDS_TO_SEND: the standard library refuses more, and so do we


class _Running:
    """A native forkserver and this process's connection to it."""

    def __init__(self, process: ChildProcess) -> None:
        self.owner = os.getpid()
        self.process = process
        self.control = -1
        self.control_key: bytes | None = None

    def drop_control(self) -> None:
        if self.control >= 0:
            os.close(self.control)
        self.control, self.control_key = -1, None


def _running(server: Any) -> _Running | None:
    running: _Running | None = server.__dict__.get("_triga_running")
    return running


def _forget(server: Any) -> None:
    server._triga_running = None
    server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None
    server._forkserver_authkey = None


def _drop_inherited(server: Any) -> None:
    """In a forked child, whose forkserver is its parent's."""
    server._lock._at_fork_reinit()
    running = _running(server)
    if running is not None:
        running.drop_control()
        os.close(server._forkserver_alive_fd)
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


def _boot(server: Any) -> None:
    listener = socket.socket(socket.AF_UNIX)
    alive, theirs = socket.socketpair()
    key = os.urandom(_KEY_BYTES)
    with listener, alive, theirs:
        listener.bind("\0triga-forkserver-" + secrets.token_hex(16))
        listener.listen()
        told = {
            "preload": server._preload_modules,
            "on_error": getattr(server, "_preload_on_error", "ignore"),
            "authkey": key,
            **_main_arguments(server),
        }
        process = boot("forkserver", told, [listener.fileno(), theirs.fileno()])
        server._triga_running = _Running(process)
        server._forkserver_address = listener.getsockname().decode()
        server._forkserver_alive_fd = alive.detach()
        server._forkserver_pid = process.pid
        server._forkserver_authkey = key


def ensure_running(self: Any) -> None:
    """Starts the forkserver if it does not run, and watches that it has a resource tracker's descriptor to pass on."""
    with self._lock:
        resource_tracker.ensure_running()
        running = _running(self)
        if running is not None:
            if running.process.poll() is None:
                return
            running.drop_control()
            os.close(self._forkserver_alive_fd)
            running.process.close()
            _forget(self)
        elif self._forkserver_pid is not None:
            # The standard library's, from before the installation. It goes on serving what it started.
            self._triga_before = (self._forkserver_pid, self._forkserver_alive_fd)
        _boot(self)


def _stop_unlocked(self: Any) -> None:
    """Ends the forkserver and waits for its end."""
    running = _running(self)
    if running is None:
        return
    with socket.socket(fileno=self._forkserver_alive_fd) as alive:
        # Not only closed: a fork of this process may hold another copy of it.
        alive.shutdown(socket.SHUT_RDWR)
    running.drop_control()
    running.process.wait()
    running.process.close()
    _forget(self)


def _connect(server: Any) -> int:
    """A control socket that the forkserver has accepted after each side has proved that it knows the key."""
    key = server._forkserver_authkey
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(server._forkserver_address)
        try:
            with connection.Connection(os.dup(client.fileno())) as wrapped:
                connection.answer_challenge(wrapped, key)
                connection.deliver_challenge(wrapped, key)
        except (EOFError, ConnectionError) as error:
            if getattr(server, "_preload_on_error", "ignore") == "fail" and server._preload_modules:
                error.add_note("Forkserver process may have crashed during module preloading. Check stderr.")
            raise
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            reduction.sendfds(client, [theirs.fileno()])
            return ours.detach()


def start(server: Any, data: int, inherited: list[int]) -> ChildProcess:
    """A clone of the forkserver that reads what to run from DATA and has INHERITED as its inherited descriptors."""
    if len(inherited) + 4 >= _MOST_DESCRIPTORS:
        raise ValueError("too many fds")
    server.ensure_running()
    descriptors: list[Any] = [data, own_pidfd(), resource_tracker.getfd(), *inherited]
    with server._lock:
        running = _running(server)
        assert running is not None
        if running.control < 0 or running.control_key != server._forkserver_authkey:
            control = _connect(server)
            running.drop_control()
            running.control, running.control_key = control, server._forkserver_authkey
        try:
            return zygote_start(running.control, None, descriptors, [_ANY] * len(descriptors))
        except BaseException:
            # An answer may be on its way, which the next request must not take for its own.
            running.drop_control()
            raise


def connect_to_new_process(self: Any, fds: list[int]) -> tuple[int, int]:
    """Not offered: the native forkserver tells a process's end by a pidfd, not by writing it into a pipe."""
    raise NotImplementedError("triga's forkserver starts processes for multiprocessing.Process only")


def patch_forkserver(module: ModuleType, replace: Replace) -> None:
    """The class's methods, and the names that the module has bound to its one instance's."""
    server = module._forkserver
    for function in (ensure_running, _stop_unlocked, connect_to_new_process):
        replace(module.ForkServer, function.__name__, function)
        if function.__name__ in vars(module):
            replace(module, function.__name__, getattr(server, function.__name__))
    os.register_at_fork(after_in_child=lambda: _drop_inherited(server))
