"""The three parts of triga, and which function patches which module of the standard library for each.

A value is ``"package.module:function"``, or a tuple of several, applied in order; the function is
``patch(module, replace)``, called right after ``module`` was executed (or at once if it was imported before), once for
every copy of the module. ``replace(owner, name, new)`` sets an attribute so that :func:`triga.uninstall` can put the
old one back. Nothing of the standard library is imported here.
"""

from __future__ import annotations

Part = str

PARTS: dict[Part, dict[str, str | tuple[str, ...]]] = {
    "threads": {
        "threading": ("triga._threads.start:patch_threading", "triga._threads.synchronisation:patch_threading"),
        "_queue": "triga._threads.queues:patch__queue",
        "queue": "triga._threads.queues:patch_queue",
        "concurrent.futures._base": "triga._threads.futures:patch_base",  # before its package, which has its names
        "concurrent.futures": "triga._threads.futures:patch_package",
        "concurrent.futures.thread": "triga._threads.executor:patch_thread_module",
        "multiprocessing.pool": "triga._threads.thread_pool:patch_pool",
        "multiprocessing.dummy.connection": "triga._threads.dummy:patch_dummy_connection",
        "multiprocessing.dummy": "triga._threads.dummy:patch_dummy",
    },
    "processes": {
        "multiprocessing.context": "triga._processes.start:patch_context",
        "multiprocessing.popen_fork": "triga._processes.start:patch_popen_fork",
        "multiprocessing.popen_spawn_posix": "triga._processes.start:patch_popen_spawn",
        "multiprocessing.popen_forkserver": "triga._processes.start:patch_popen_forkserver",
        "multiprocessing.spawn": "triga._processes.start:patch_spawn",
        "multiprocessing.forkserver": "triga._processes.start:patch_forkserver",
        "multiprocessing.queues": "triga._processes.queues:patch_queues",
        "multiprocessing.pool": "triga._processes.pool:patch_pool",
        "concurrent.futures.process": "triga._processes.executor:patch_process_module",
    },
    "loop": {
        "asyncio.tasks": "triga._loop.patch:patch_tasks",
        "asyncio.streams": "triga._loop.streams:patch",
        "asyncio.sslproto": "triga._loop.tls:patch",
        "asyncio.unix_events": "triga._loop.patch:patch_unix_events",
        "asyncio": ("triga._loop.patch:patch_asyncio", "triga._loop.streams:patch_package"),
    },
}

ALL: frozenset[Part] = frozenset(PARTS)


def parse_parts(text: str) -> frozenset[Part]:
    """The parts that the TRIGA variable names: ``1`` or ``all`` for every one, ``0`` for none, else a comma list.

    Raises ValueError naming the word that is no part.
    """
    words = {word.strip().lower() for word in text.split(",")} - {""}
    if words <= {"0", "no", "off", "false"}:
        return frozenset()
    if words <= {"1", "all", "yes", "on", "true"}:
        return ALL
    for word in sorted(words - ALL):
        raise ValueError(f"TRIGA={text!r}: {word!r} is no part of triga; use 1, 0 or a comma list of {sorted(ALL)}")
    return frozenset(words)
