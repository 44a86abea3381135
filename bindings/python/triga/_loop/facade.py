"""Stand-ins for the containers that asyncio's selector loop keeps and triga's keeps in C++.

They tell the truth about what they stand for, and refuse, with the reason, what would need the loop to be asyncio's:
a library that drives a loop by these internals (nest_asyncio does) fails at once and does not hang.
"""

from __future__ import annotations

import selectors
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NoReturn


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(f"triga's event loop keeps its {what} in C++; it cannot be driven through asyncio's internals")


class ReadyQueue:
    """``loop._ready``."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def __len__(self) -> int:
        count: int = self._loop._pending()[0]
        return count

    def append(self, handle: Any) -> None:
        """Queues a handle."""
        self._loop._add_callback(handle)

    def clear(self) -> None:
        """Drops every queued handle."""
        self._loop._clear_ready()

    def popleft(self) -> NoReturn:
        """Refused: only the loop takes handles out."""
        _refuse("ready callbacks")


class Timers:
    """``loop._scheduled``."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def __len__(self) -> int:
        count: int = self._loop._pending()[1]
        return count

    def clear(self) -> None:
        """Drops every timer."""
        self._loop._clear_timers()

    def __getitem__(self, at: object) -> NoReturn:
        _refuse("timers")


class Selector(selectors.BaseSelector):
    """``loop._selector``: the descriptors with a reader or a writer, as asyncio's selector would list them."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """The registered descriptors: fd to SelectorKey, whose data is ``(reader handle, writer handle)``."""
        return {
            fd: selectors.SelectorKey(fd, fd, events, (reader, writer))
            for fd, events, reader, writer in self._loop._descriptors()
        }

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The SelectorKey of a descriptor or of an object with fileno(); KeyError if it is not registered."""
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        try:
            return self.get_map()[fd]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def register(self, fileobj: Any, events: int, data: Any = None) -> NoReturn:
        """Refused: use add_reader() or add_writer()."""
        _refuse("selector")

    def unregister(self, fileobj: Any) -> NoReturn:
        """Refused: use remove_reader() or remove_writer()."""
        _refuse("selector")

    def modify(self, fileobj: Any, events: int, data: Any = None) -> NoReturn:
        """Refused: use add_reader() or add_writer()."""
        _refuse("selector")

    def select(self, timeout: float | None = None) -> NoReturn:
        """Refused: only the loop polls."""
        _refuse("selector")

    def close(self) -> None:
        """Drops every reader and writer and closes the loop's descriptors."""
        self._loop._close_native()


class Transports(MutableMapping[int, Any]):
    """``loop._transports``: by descriptor, as asyncio's dictionary of weak references.

    The native stream transports are in a table of the loop's (``bindings/types/transport_table.h``) for as long as they
    are on the loop; any other transport is in a dictionary like asyncio's.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self.others: Any = weakref.WeakValueDictionary()  # its `data` is looked at

    def __getitem__(self, number: int) -> Any:
        transport = self._loop._find_transport(number)
        return self.others[number] if transport is None else transport

    def __setitem__(self, number: int, transport: Any) -> None:
        if not self._loop._put_transport(number, transport):
            self.others[number] = transport

    def __delitem__(self, number: int) -> None:
        if not self._loop._remove_transport(number):
            del self.others[number]

    def __contains__(self, number: object) -> bool:
        return self._loop._find_transport(number) is not None or number in self.others

    def __iter__(self) -> Iterator[int]:
        native = self._loop._transport_numbers()
        yield from native
        yield from (number for number in list(self.others) if number not in native)

    def __len__(self) -> int:
        return sum(1 for _ in self)
