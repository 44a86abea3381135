"""What this interpreter and kernel offer, and what they lack for each part.

Read at activation, so it does without platform and sysconfig: on 3.13 the latter imports threading.
"""

from __future__ import annotations

import os
import sys

from triga._parts import ALL, Part


def has_pidfd() -> bool:
    """True where the kernel has pidfd_open(2), which is Linux 5.3."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def refusals(part: Part) -> list[str]:
    """Why ``part`` cannot run natively here, as sentences' ends; empty where it can."""
    if part not in ALL:
        return [f"{part!r} is no part of triga"]
    reasons = []
    if sys.platform != "linux":
        reasons.append(f"triga needs Linux and this is {sys.platform}")
    if sys.implementation.name != "cpython":
        reasons.append(f"triga needs CPython and this is {sys.implementation.name}")
    if "t" in sys.abiflags:
        reasons.append("this is a free-threaded build of CPython, which triga does not support yet")
    if part == "processes" and not has_pidfd():
        reasons.append(f"the kernel has no pidfd_open(2) (Linux 5.3 or later; this is {os.uname().release})")
    return reasons
