"""``progress=True``: tqdm around the results of map and imap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def shown(results: Iterable[Any], total: int | None) -> Iterator[Any]:
    """The results, with a progress bar on standard error while they are iterated."""
    return iter(_tqdm()(results, total=total))


def check_progress(wanted: bool) -> None:
    """Raises ImportError at once, before any work is begun, where tqdm is not installed."""
    if wanted:
        _tqdm()


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm, which is not installed: pip install tqdm", name="tqdm") from error
    return tqdm


def total_of(*iterables: Any) -> int | None:
    """How many results there will be, where the iterables tell."""
    try:
        return min(map(len, iterables))
    except TypeError:
        return None
