"""multiprocessing's Queue, JoinableQueue and SimpleQueue on a ring in shared memory.

A put pickles in the caller's thread and is in the ring when it returns; only what finds the shared memory full is kept
in the process, and moved on by a feeder thread, so that a put never waits where the queue has no bound.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Callable
from multiprocessing import context, get_context, reduction, synchronize, util
from types import ModuleType

from triga import _core
from triga._processes.pickling import make_pickler
from triga._processes.queue_ends import Reader, Writer, make_ends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from triga._patch import Replace

# The first item of the state of a native queue.
_NATIVE = "triga"
# Up to this many objects a bounded queue needs no bound on its bytes, and keeps everything in shared memory.
_FEW = 65_536
_SMALLEST_RING, _LARGEST_RING = 1 << 16, 1 << 22
_BYTES_AN_ITEM = 64
_DEFAULT_MEMORY = 1 << 28

# Methods that are the machinery of the standard library's queues: a subclass that brings its own gets that machinery.
# What it pickles are attributes that only the standard library's queues have (loky's do so).
_STATE = ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__")
MACHINERY = ("_feed", "_start_thread", "_reset", "_finalize_join", "_finalize_close", *_STATE)


# Where the standard library refuses to send what the fork context made to a spawned process (3.12 and later).
_FORKS_STAY = "_is_fork_ctx" in synchronize.SemLock.__getstate__.__code__.co_names


def _must_not_be_sent(ctx: Any) -> bool:
    return _FORKS_STAY and bool(ctx.get_start_method() == "fork")


def _check_sending(queue: Any) -> None:
    """As the standard library's queues, by way of their locks, in its words."""
    context.assert_spawning(queue)
    if queue._stays:
        raise RuntimeError(
            "A SemLock created in a fork context is being shared with a process in a spawn context. This is not "
            "supported. Please use the same context to create multiprocessing objects and Process."
        )


def _brings_machinery(kind: type, native: type) -> bool:
    before = kind.__mro__[: kind.__mro__.index(native)]
    return any(name in vars(each) for each in before if "_stock" not in vars(each) for name in MACHINERY)


def _memory() -> int:
    """How many bytes of large messages may lie in the shared memory of an unbounded queue."""
    text = os.environ.get("TRIGA_QUEUE_MEMORY", "")
    try:
        return int(text) if text else _DEFAULT_MEMORY
    except ValueError:
        raise ValueError(f"TRIGA_QUEUE_MEMORY={text!r}: a number of bytes, 0 for no bound") from None


def _new_side(maxsize: int) -> _core.QueueSide:
    few = maxsize <= _FEW
    wanted = maxsize * _BYTES_AN_ITEM if few else 1 << 20
    ring = max(_SMALLEST_RING, min(_LARGEST_RING, 1 << max(wanted - 1, 1).bit_length()))
    return _core.QueueSide(maxsize, ring, 0 if few else _memory())


def _join_feeder(feeder: weakref.ref[threading.Thread]) -> None:
    thread = feeder()
    if thread is not None:
        util.debug("joining queue thread")
        thread.join()


def _feed(
    side: _core.QueueSide,
    ends: tuple[Reader, Writer],
    ignore_epipe: bool,
    on_error: Callable[[BaseException, Any], object],
) -> None:
    """The feeder thread: sends what is kept until the queue is closed; then this process's ends are closed."""
    while True:
        try:
            side.feed()
            break
        except OSError as error:
            if ignore_epipe and error.errno == errno.EPIPE:
                return
            if util.is_exiting():
                util.info("error in queue thread: %s", error)
                return
            on_error(error, None)  # the object itself is gone: it was pickled when it was put
    for end in ends:
        end.close()


def _make_queue(module: ModuleType) -> type:
    stock = module.Queue

    class Queue(_core.ProcessQueue, stock):  # type: ignore[misc,valid-type]
        """A queue shared between processes, as :class:`multiprocessing.queues.Queue`."""

        _stock = stock
        _side: _core.QueueSide | None = None  # None: this object runs on the standard library's machinery
        _ends: tuple[Reader, Writer]
        _stays = False  # one that was made from a pickle may be pickled again

        def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
            if _brings_machinery(type(self), Queue):
                stock.__init__(self, maxsize, ctx=ctx)
                return
            if maxsize <= 0:
                maxsize = int(synchronize.SEM_VALUE_MAX)  # type: ignore[attr-defined]
            self._maxsize = maxsize
            self._opid = os.getpid()
            self._stays = _must_not_be_sent(ctx)
            self._ignore_epipe = False  # concurrent.futures sets it
            self._open(_new_side(maxsize), None)

        def _open(self, side: _core.QueueSide, pipe: tuple[int, int] | None) -> None:
            self._side = side
            _core.open_queue(self, side, make_pickler, module.Full, module.Empty)
            self._ends = self._reader, self._writer = make_ends(side, pipe)
            self._forget_feeder()
            util.register_after_fork(self, Queue._after_fork)

        def _forget_feeder(self) -> None:
            self._thread: threading.Thread | None = None
            self._jointhread: Any = None
            self._close: Any = None
            self._joincancelled = False
            self._closed = False
            _core.close_queue(self, False)

        def _after_fork(self) -> None:
            if self._side is None:
                stock._after_fork(self)
            else:
                util.debug("Queue._after_fork()")
                self._forget_feeder()

        def __getstate__(self) -> Any:
            if self._side is None:
                return stock.__getstate__(self)
            _check_sending(self)
            descriptors = self._side.fileno(), self._ends[0].number(), self._ends[1].number()
            sent = tuple(None if each is None else reduction.DupFd(each) for each in descriptors)
            return (_NATIVE, self._ignore_epipe, self._maxsize, self._opid, sent)

        def __setstate__(self, state: Any) -> None:
            if state[0] != _NATIVE:
                stock.__setstate__(self, state)
                return
            _, self._ignore_epipe, self._maxsize, self._opid, sent = state
            memory, reader, writer = (-1 if each is None else each.detach() for each in sent)
            self._open(_core.QueueSide.adopt(memory), (reader, writer))

        def empty(self) -> bool:
            if self._side is None:
                return stock.empty(self)  # type: ignore[no-any-return]
            return not self._ends[0].poll()

        def get_nowait(self) -> Any:
            return self.get(False)

        def put_nowait(self, obj: Any) -> None:
            self.put(obj, False)

        def close(self) -> None:
            if self._side is None:
                return stock.close(self)  # type: ignore[no-any-return]
            self._closed = True
            used = _core.close_queue(self, True)
            close, self._close = self._close, None
            if close is not None:
                close()
            elif used and self._thread is None:
                for end in self._ends:
                    end.close()

        def _terminate_broken(self) -> None:
            if self._side is None:
                return stock._terminate_broken(self)  # type: ignore[no-any-return]
            self._side.abandon()
            self._ends[0].close()
            self.close()
            self.join_thread()

        def _put_failed(self, error: BaseException, obj: Any) -> None:
            # Called by put() for what cannot be pickled.
            if util.is_exiting():
                util.info("error in queue thread: %s", error)
                return
            try:
                raise error
            except Exception as raised:  # so that the hook can print it, as in the standard library's feeder
                self._on_queue_feeder_error(raised, obj)

        def _start_feeder(self) -> None:
            # Called by put() when it has kept an object.
            side = self._side
            assert side is not None
            util.debug("Queue._start_thread()")
            work = (side, self._ends, self._ignore_epipe, self._on_queue_feeder_error)
            thread = threading.Thread(target=_feed, args=work, name="QueueFeederThread", daemon=True)
            side.set_feeder(True)
            try:
                thread.start()
            except BaseException:
                side.set_feeder(False)
                raise
            self._thread = thread
            if not self._joincancelled:
                self._jointhread = util.Finalize(thread, _join_feeder, [weakref.ref(thread)], exitpriority=-5)
            self._close = util.Finalize(self, side.finish, exitpriority=10)

    return Queue


def _make_joinable(module: ModuleType, queue: type) -> type:
    stock = module.JoinableQueue

    class JoinableQueue(queue, stock):  # type: ignore[misc,valid-type]
        """A Queue that knows when all its objects are dealt with, as :class:`multiprocessing.queues.JoinableQueue`."""

        _stock = stock

        def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
            if _brings_machinery(type(self), queue):
                stock.__init__(self, maxsize, ctx=ctx)
            else:
                queue.__init__(self, maxsize, ctx=ctx)  # type: ignore[misc]

        def __getstate__(self) -> Any:
            # The standard library's goes through Queue.__getstate__, which is the native one's by that name.
            kind: Any = stock if self._side is None else queue
            return kind.__getstate__(self)

        def __setstate__(self, state: Any) -> None:
            kind: Any = queue if state[0] == _NATIVE else stock
            kind.__setstate__(self, state)

        def task_done(self) -> None:
            if self._side is None:
                stock.task_done(self)
            elif not self._side.task_done():
                raise ValueError("task_done() called too many times")

        def join(self) -> None:
            if self._side is None:
                stock.join(self)
            else:
                self._side.join()

    return JoinableQueue


def _make_simple(module: ModuleType) -> type:
    stock = module.SimpleQueue

    class SimpleQueue(_core.SimpleProcessQueue, stock):  # type: ignore[misc,valid-type]
        """A queue without bounds and timeouts, as :class:`multiprocessing.queues.SimpleQueue`."""

        _stock = stock
        _side: _core.QueueSide | None = None
        _ends: tuple[Reader, Writer]
        _stays = False

        def __init__(self, *, ctx: Any) -> None:
            if _brings_machinery(type(self), SimpleQueue):
                stock.__init__(self, ctx=ctx)
                return
            self._stays = _must_not_be_sent(ctx)
            self._open(_core.QueueSide((1 << 31) - 1, 1 << 20, _memory()), None)

        def _open(self, side: _core.QueueSide, pipe: tuple[int, int] | None) -> None:
            self._side = side
            _core.open_queue(self, side, make_pickler, module.Full, module.Empty)
            self._ends = self._reader, self._writer = make_ends(side, pipe)
            self._poll = self._reader.poll

        def close(self) -> None:
            if self._side is None:
                return stock.close(self)  # type: ignore[no-any-return]
            _core.close_queue(self, True)
            self._reader.close()
            self._writer.close()

        def empty(self) -> bool:
            return not self._poll()

        def __getattr__(self, name: str) -> Any:
            # The standard library's Pool, where a subclass has it, holds these while it looks at the ends.
            if name in ("_rlock", "_wlock") and self._side is not None:
                lock = get_context().Lock()
                return self.__dict__.setdefault(name, lock)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __getstate__(self) -> Any:
            if self._side is None:
                return stock.__getstate__(self)
            _check_sending(self)
            descriptors = self._side.fileno(), self._ends[0].number(), self._ends[1].number()
            sent = tuple(None if each is None else reduction.DupFd(each) for each in descriptors)
            return (_NATIVE, sent)

        def __setstate__(self, state: Any) -> None:
            if state[0] != _NATIVE:
                stock.__setstate__(self, state)
                return
            memory, reader, writer = (-1 if each is None else each.detach() for each in state[1])
            self._open(_core.QueueSide.adopt(memory), (reader, writer))

    return SimpleQueue


def _make_all(module: ModuleType) -> dict[str, type]:
    queue = _make_queue(module)
    made = {"Queue": queue, "JoinableQueue": _make_joinable(module, queue), "SimpleQueue": _make_simple(module)}
    for name, kind in made.items():
        kind.__module__, kind.__qualname__ = module.__name__, name
    return made


def patch_queues(module: ModuleType, replace: Replace) -> None:
    """multiprocessing.queues: the three classes. The module keeps them, patched or not."""
    names = vars(module)
    if "_triga_native_queues" not in names:
        names["_triga_native_queues"] = _make_all(module)
    for name, kind in names["_triga_native_queues"].items():
        replace(module, name, kind)
