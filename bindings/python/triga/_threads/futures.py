"""The Future that native executors hand out, and wait() and as_completed() for any mix of futures."""

from __future__ import annotations

from concurrent.futures import _base

from triga import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace


class Future(_core.FutureCore, _base.Future):  # type: ignore[type-arg]
    """concurrent.futures.Future, natively: threads that wait for it sleep on a futex."""

    __slots__ = ()
    __module__ = "concurrent.futures._base"

    @staticmethod
    def _refuse_start(future: Future) -> bool:
        _base.LOGGER.critical("Future %s in unexpected state: %s", id(future), future._state)
        raise RuntimeError("Future in unexpected state")


def _report_callback(future: Future, error: BaseException) -> None:
    _base.LOGGER.error("exception calling callback for %r", future, exc_info=error)


_core.set_future_class(Future, _report_callback)


def _watch(futures: set[Any], timeout: float | None = None) -> _core.CompletionWatch | None:
    """What watches ``futures``; None if one of them is not native."""
    try:
        return _core.CompletionWatch(futures, timeout)
    except TypeError:
        return None


def _handing_over(futures: set[Any]) -> Iterator[Any]:
    """Gives the futures to somebody who is not to find this set still referring to them."""
    while futures:
        yield futures.pop()


def _make_as_completed(stock: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def as_completed(fs: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
        fs = set(fs)
        watch = _watch(fs, timeout)
        if watch is None:
            yield from stock(_handing_over(fs), timeout)
        else:
            # From here only the watch refers to a future, and only until it is given out.
            fs.clear()
            yield from watch

    as_completed.__doc__ = stock.__doc__
    return as_completed


def _make_wait(stock: Callable[..., Any]) -> Callable[..., Any]:
    def wait(fs: Iterable[Any], timeout: float | None = None, return_when: str = _base.ALL_COMPLETED) -> Any:
        unique = set(fs)
        known = return_when in (_base.FIRST_COMPLETED, _base.FIRST_EXCEPTION, _base.ALL_COMPLETED)
        watch = _watch(unique) if known and unique else None
        if watch is None:
            return stock(unique, timeout, return_when)
        enough = len(unique) - 1 if return_when == _base.FIRST_COMPLETED else 0
        watch.wait(enough, return_when == _base.FIRST_EXCEPTION, timeout)
        return _base.DoneAndNotDoneFutures(*watch.split())

    wait.__doc__ = stock.__doc__
    return wait


_MAKERS = {"wait": _make_wait, "as_completed": _make_as_completed}


def patch_base(module: ModuleType, replace: Replace) -> None:
    """Puts the native wait() and as_completed() into ``concurrent.futures._base``."""
    for name, make in _MAKERS.items():
        native = make(getattr(module, name))
        native.__name__ = native.__qualname__ = name
        native.__module__ = "concurrent.futures._base"
        native.stock = getattr(module, name)  # type: ignore[attr-defined]
        replace(module, name, native)


def patch_package(module: ModuleType, replace: Replace) -> None:
    """The same for ``concurrent.futures``, which has the names from ``_base``."""
    for name in _MAKERS:
        native = getattr(_base, name)
        # Imported from a patched _base: uninstall() is to put the original here, too.
        setattr(module, name, native.stock)
        replace(module, name, native)
