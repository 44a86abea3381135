"""Stock programs choose triga's loop by the ways that they document. Their packages are the extra ``apps``."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

import triga
from triga import _core

APPLICATION = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    kind = type(asyncio.get_running_loop()).__mro__[1].__module__
    body = kind.encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


def clean_environment() -> dict[str, str]:
    """Ours, with triga not switched on: it is to come by the program's own choice."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRIGA")}


def free_port() -> int:
    """A port that is free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def answer_of(port: int, server: subprocess.Popen[bytes]) -> bytes:
    """What the server answers, once it does."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                body: bytes = response.read()
                return body
        except OSError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.05)
    raise AssertionError("no answer")


def test_uvicorn_takes_a_factory_by_its_option(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--loop",
        "triga:new_event_loop",
        "--port",
        str(port),
        "application:app",
    ]
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment()) as server:
        try:
            assert answer_of(port, server) == b"triga._core"
        finally:
            server.terminate()
        assert server.wait(20) in (0, -15)


def test_anyio_takes_a_factory_by_its_backend_options() -> None:
    anyio = pytest.importorskip("anyio")

    async def main() -> int:
        assert isinstance(asyncio.get_running_loop(), _core.LoopBase)
        send, receive = anyio.create_memory_object_stream(1)
        async with anyio.create_task_group() as group:
            group.start_soon(send.send, 5)
            value: int = await receive.receive()
        await anyio.to_thread.run_sync(int)
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep(10)
        assert scope.cancelled_caught
        send.close()
        receive.close()
        return value

    assert anyio.run(main, backend="asyncio", backend_options={"loop_factory": triga.new_event_loop}) == 5


def test_pytest_asyncio_takes_a_policy(tmp_path: Path) -> None:
    pytest.importorskip("pytest_asyncio")
    program = """
        import asyncio, warnings
        import pytest
        import triga
        from triga import _core

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)

            class Policy(asyncio.DefaultEventLoopPolicy):
                def new_event_loop(self):
                    return triga.new_event_loop()

        @pytest.fixture
        def event_loop_policy():
            return Policy()

        @pytest.mark.asyncio
        async def test_it():
            assert isinstance(asyncio.get_running_loop(), _core.LoopBase)
            await asyncio.sleep(0.001)
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(program))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",
            "ignore::DeprecationWarning",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        cwd=tmp_path,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_runner_takes_the_factory() -> None:
    async def main() -> bool:
        return isinstance(asyncio.get_running_loop(), _core.LoopBase)

    with asyncio.Runner(loop_factory=triga.new_event_loop) as runner:
        assert runner.run(main())
