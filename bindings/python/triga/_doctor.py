"""triga doctor: what this machine offers, and which part runs natively here."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Iterable, Sequence

from triga import _core
from triga._parts import PARTS
from triga._platform import has_pidfd, refusals

_SYS_IO_URING_SETUP = 425


def io_uring() -> str:
    """Whether io_uring_setup(2) answers: ``yes``, or ``no`` with the reason."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(_SYS_IO_URING_SETUP, 1, None)
    if descriptor >= 0:
        os.close(descriptor)
        return "yes"
    error = ctypes.get_errno()
    # A null parameter block: a kernel that offers io_uring complains about the address.
    return "yes" if error == errno.EFAULT else f"no ({os.strerror(error)})"


def findings() -> Iterable[tuple[str, str]]:
    """The machine's and the interpreter's lines: what, and its state."""
    yield "triga", _core.version
    yield "python", f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    yield "kernel", f"{platform.system()} {platform.release()} on {platform.machine()}"
    yield "processors", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}"
    yield "pidfd", "yes" if has_pidfd() else "no (Linux 5.3 or later has it)"
    yield "io_uring", io_uring()


def doctor(arguments: Sequence[str] = ()) -> int:
    """Prints the findings and each part's state; 0 if every part can run natively, else 1."""
    if arguments:
        print(f"triga doctor takes no arguments, but was given {' '.join(arguments)}", file=sys.stderr)
        return 2
    for name, value in findings():
        print(f"{name:<12} {value}")
    ailing = 0
    for part in PARTS:
        reasons = refusals(part)
        ailing += bool(reasons)
        print(f"{part:<12} {'native' if not reasons else 'standard library: ' + '; '.join(reasons)}")
    return 1 if ailing else 0
