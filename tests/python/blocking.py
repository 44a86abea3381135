"""What the tests of blocking classes share: threads that block, waiting for them, and programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


def start(function: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """A daemon thread running ``function``: a test that fails must not keep the interpreter."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread is about to do, which shows in the state only."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs PROGRAM with everything native."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "TRIGA": "1", **environment},
        timeout=60,
    )


def assert_ctrl_c_ends(statement: str) -> None:
    """The blocking STATEMENT ends in KeyboardInterrupt when a SIGINT comes, and nothing else happens."""
    done = run(
        "import os, queue, signal, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        f"    {statement}\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
