"""Where a process cannot be started natively, the standard library starts it, and a warning says why, once."""

from __future__ import annotations

import errno
import os
import warnings

_told: set[str] = set()

_REASONS = {
    errno.ENOTSUP: "a preloaded module keeps threads running, and a process with threads cannot be cloned",
    errno.ENOSYS: "where the C library caches the id of a thread could not be found",
    errno.ENOENT: "/proc is not mounted",
}


def reason_of(error: OSError) -> str | None:
    """Why the zygote cannot clone here at all, or None for an error of another kind."""
    if error.errno == errno.ENOENT and os.access("/proc/self/status", os.R_OK):
        return None  # some other file
    return _REASONS.get(error.errno or 0)


def tell(reason: str) -> None:
    """Warns, once a process and reason."""
    if reason not in _told:
        _told.add(reason)
        warnings.warn(f"triga: processes are started by the standard library: {reason}", RuntimeWarning, stacklevel=5)
