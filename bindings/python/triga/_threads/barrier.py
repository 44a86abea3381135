"""threading.Barrier with one meeting a round, one class for each copy of module threading.

The standard class has the threads meet twice a round: they arrive, and those that come again wait for the last one to
leave, as one count and one state serve every round. Here each round has a state of its own, which its threads keep, so
that nobody waits for those who leave: half of the sleeping and waking.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Round:
    """Whether the threads that wait together still do. Guarded by the condition's lock."""

    __slots__ = ("broken", "over")

    def __init__(self) -> None:
        self.over = False
        self.broken = False


def barrier_class(threading: Any) -> type:
    """The Barrier of a copy of threading: made at the first call, kept by the class that it derives from."""
    stock: Any = threading.Barrier

    class Barrier(stock):  # type: ignore[misc]
        __doc__ = stock.__doc__

        # None: a subclass with state of its own, as multiprocessing's, which the standard methods know how to use.
        _round: _Round | None = None

        def __init__(
            self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
        ) -> None:
            super().__init__(parties, action, timeout)
            self._round = _Round()

        def wait(self, timeout: float | None = None) -> int:
            if self._round is None:
                index: int = super().wait(timeout)
                return index
            if timeout is None:
                timeout = self._timeout
            with self._cond:
                if self._state < 0:
                    raise threading.BrokenBarrierError
                index = self._count
                self._count += 1
                if index + 1 == self._parties:
                    self._let_go()
                else:
                    self._wait_in(self._round, timeout)
                return index

        def _let_go(self) -> None:
            """The last one has come: runs the action and ends the round."""
            try:
                if self._action:
                    self._action()
            except BaseException:
                self._break()
                raise
            self._end_round(broken=False)

        def _wait_in(self, this: _Round, timeout: float | None) -> None:
            try:
                if timeout is None:
                    while not this.over:
                        self._cond.wait()
                elif not self._cond.wait_for(lambda: this.over, timeout):
                    self._break()
            except BaseException:
                if not this.over:
                    self._count -= 1  # as if it had not come
                raise
            if this.broken:
                raise threading.BrokenBarrierError

        def _end_round(self, broken: bool) -> None:
            this, self._round = self._round, _Round()
            assert this is not None
            this.over, this.broken = True, broken
            self._count = 0
            self._cond.notify_all()

        def _break(self) -> None:
            if self._round is None:
                super()._break()
                return
            self._state = -2
            self._end_round(broken=True)

        def reset(self) -> None:
            if self._round is None:
                super().reset()
                return
            with self._cond:
                self._state = 0
                self._end_round(broken=True)

        for _method in (__init__, wait, reset):
            _method.__doc__ = getattr(stock, _method.__name__).__doc__
        del _method

    Barrier.__module__ = stock.__module__
    Barrier.__qualname__ = stock.__qualname__
    return Barrier
