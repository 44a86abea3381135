"""What the native loop says when a callback fails or is slow: asyncio's own words, through asyncio's own channels."""

from __future__ import annotations

import inspect
from asyncio import base_events, format_helpers
from typing import Any

_base_events: Any = base_events  # its logger is looked up at each use, as tests replace it

# Later versions leave the arguments out unless in debug mode.
_SOURCE_TAKES_DEBUG = "debug" in inspect.signature(format_helpers._format_callback_source).parameters


def _source_of(handle: Any) -> str:
    options = {"debug": handle._loop.get_debug()} if _SOURCE_TAKES_DEBUG else {}
    source: str = format_helpers._format_callback_source(handle._callback, handle._args, **options)
    return source


def callback_failed(handle: Any, error: BaseException) -> None:
    """Tells the loop's exception handler, as asyncio's Handle._run() does."""
    context = {"message": f"Exception in callback {_source_of(handle)}", "exception": error, "handle": handle}
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    handle._loop.call_exception_handler(context)


def callback_was_slow(handle: Any, seconds: float) -> None:
    """Warns of a callback that took longer than the loop's slow_callback_duration, in debug mode."""
    _base_events.logger.warning("Executing %s took %.3f seconds", _base_events._format_handle(handle), seconds)
