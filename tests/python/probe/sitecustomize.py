"""A probe: which functions of the standard library's own concurrency ran in this process and its children.

Put this folder on PYTHONPATH and set TRIGA_PROBE=FILE: each function of WATCHED that starts running appends a line with
its name to FILE, once a process. It watches code objects by file and qualified name, through sys.monitoring (3.12 and
later; every thread) or sys.setprofile (3.11; the main thread and those that threading starts), so it does not matter
which class or module attribute the caller went through, and nothing is imported or replaced for it.
_thread's functions are built in: those two are replaced, before threading is imported.
The selector of multiprocessing's forkserver (the default start method from 3.14) is no loop's, and is left out.
"""

import os
import sys

WATCHED = {
    "concurrent/futures/thread.py": {"_worker", "_WorkItem.run", "_WorkerContext.run", "ThreadPoolExecutor.submit"},
    "concurrent/futures/process.py": {"_process_worker", "_ExecutorManagerThread.run", "ProcessPoolExecutor.submit"},
    "multiprocessing/pool.py": {
        "worker",
        "Pool._handle_tasks",
        "Pool._handle_results",
        "Pool._handle_workers",
    },
    "multiprocessing/popen_fork.py": {"Popen._launch"},
    "multiprocessing/popen_spawn_posix.py": {"Popen._launch"},
    "multiprocessing/popen_forkserver.py": {"Popen._launch"},
    "multiprocessing/forkserver.py": {"main", "_serve_one"},
    "asyncio/base_events.py": {"BaseEventLoop._run_once", "BaseEventLoop.call_soon", "BaseEventLoop.call_at"},
    "asyncio/selector_events.py": {
        "BaseSelectorEventLoop._process_events",
        "_SelectorSocketTransport._read_ready",
        "_SelectorSocketTransport.write",
    },
    "selectors.py": {"EpollSelector.select"},
}
BUILT_IN = ("start_new_thread", "start_joinable_thread")

_seen = set()


def _record(name):
    if (os.getpid(), name) in _seen:
        return
    _seen.add((os.getpid(), name))
    descriptor = os.open(os.environ["TRIGA_PROBE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, (name + "\n").encode())
    finally:
        os.close(descriptor)


def _watched_name(code):
    """``multiprocessing/pool.py:worker`` for code that is watched, whoever calls it, else None."""
    parts = code.co_filename.rsplit("/", 3)
    for depth in (2, 1, 3):
        file = "/".join(parts[-depth:])
        if code.co_qualname in WATCHED.get(file, ()) and "site-packages" not in code.co_filename:
            return f"{file}:{code.co_qualname}"
    return None


def _is_the_forkservers(frame):
    """True for a call that multiprocessing.forkserver makes for itself."""
    return frame.f_back is not None and frame.f_back.f_code.co_filename.endswith("multiprocessing/forkserver.py")


def _see(name, frame):
    if not (name.startswith("selectors.py:") and _is_the_forkservers(frame)):
        _record(name)


def _on_start(code, _offset):
    name = _watched_name(code)
    if name is None:
        return sys.monitoring.DISABLE
    _see(name, sys._getframe(1))
    return None


def _on_profile(frame, event, _argument):
    if event == "call":
        name = _watched_name(frame.f_code)
        if name is not None:
            _see(name, frame)


def _watch_code():
    if sys.version_info >= (3, 12):
        monitoring = sys.monitoring
        monitoring.use_tool_id(monitoring.PROFILER_ID, "triga-probe")
        monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, _on_start)
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)
    else:
        sys.setprofile(_on_profile)


def _watch_built_in():
    import _thread

    def watched(name, original):
        def start(function, *arguments, **options):
            _record(f"_thread:{name}")
            if sys.version_info < (3, 12):
                return original(_profiled, (function, *arguments[:1]), *arguments[1:], **options)
            return original(function, *arguments, **options)

        return start

    def _profiled(function, arguments, keywords=None):
        sys.setprofile(_on_profile)
        function(*arguments, **(keywords or {}))

    for name in BUILT_IN:
        original = getattr(_thread, name, None)
        if original is not None:
            setattr(_thread, name, watched(name, original))


if "TRIGA_PROBE" in os.environ:
    _watch_code()
    _watch_built_in()
