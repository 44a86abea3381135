"""TRIGA=1: activation at interpreter start, from triga.pth (to 3.14) or triga.start (3.15).

Runs before the program, in every interpreter and sub-interpreter, perhaps twice: so it imports as little as it can,
says nothing when all is well, and never keeps an interpreter from starting.
"""

from __future__ import annotations

import os
import sys

_activated = False


def activate() -> None:
    """Installs the parts that the environment variable TRIGA names; does nothing without it, or a second time."""
    global _activated
    value = os.environ.get("TRIGA")
    if not value or _activated:
        return
    _activated = True  # a virtual environment's site reads triga.pth twice up to 3.14
    from triga._parts import parse_parts

    try:
        parts = parse_parts(value)
        if parts:
            from triga._install import install_parts
            from triga._report import report_at_exit

            install_parts(parts)
            report_at_exit()
    except (ValueError, RuntimeError, ImportError) as error:
        print(f"triga: not active: {error}", file=sys.stderr)
