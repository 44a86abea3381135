"""Real applications from packages, each a program of this folder, on asyncio's own loop and on triga's.

Run by ``make test-apps``. A package or a server that is not there is named in the reason of the skip.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def server_program(name: str) -> str:
    """Where a server's program is, as Debian puts PostgreSQL's beside the PATH."""
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    if found is None:
        pytest.skip(f"{name} is not on this machine; `make test-apps` installs it as root on Debian and Ubuntu")
    return found


def run_program(program: str, native: bool, tmp_path: Path, *arguments: str) -> dict[str, int]:
    """Runs the program to its end and returns the core's counters, of all its processes together."""
    stats = tmp_path / "stats.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIGA")}
    environment["TRIGA_STATS"] = str(stats)
    command = [sys.executable, "-X", "faulthandler", *(["-m", "triga"] if native else []), str(HERE / program)]
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=100, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("good\n")
    if not native:
        return {}
    counters: Counter[str] = Counter()
    for line in stats.read_text().splitlines():
        counters.update(json.loads(line))
    return counters


@pytest.fixture(params=["stdlib", "triga"])
def native(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "triga")


def need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; `make test-apps` installs the extra `apps`")


def test_uvicorn_serves_an_asgi_application(native: bool, tmp_path: Path) -> None:
    need("uvicorn")
    counters = run_program("uvicorn_application.py", native, tmp_path)
    assert not native or counters["bytes_written"] > 2_000_000


def test_aiohttp_client_and_server(native: bool, tmp_path: Path) -> None:
    need("aiohttp")
    counters = run_program("aiohttp_both_ends.py", native, tmp_path)
    assert not native or (counters["bytes_read"] > 2_000_000 and counters["tls_bytes_read"] > 1_000_000)


def test_asyncpg_against_postgresql(native: bool, tmp_path: Path) -> None:
    need("asyncpg")
    folder = Path(server_program("postgres")).resolve().parent
    counters = run_program("asyncpg_queries.py", native, tmp_path, str(folder))
    assert not native or counters["bytes_read"] > 1_000_000


def test_redis_client_against_redis(native: bool, tmp_path: Path) -> None:
    need("redis")
    server = server_program("redis-server")
    counters = run_program("redis_commands.py", native, tmp_path, server)
    assert not native or counters["stream_reads"] + counters["stream_passes"] > 100


def test_joblib_on_each_of_its_backends(native: bool, tmp_path: Path) -> None:
    need("joblib")
    counters = run_program("joblib_parallel.py", native, tmp_path)
    assert not native or counters["tasks_run"] >= 50
