"""triga in a sub-interpreter with a GIL of its own (3.12 and later)."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 has no interpreter with its own GIL")

PREAMBLE = """
import sys
try:
    import _interpreters
    def run_isolated(code):
        identity = _interpreters.create('isolated')
        failed = _interpreters.exec(identity, code)
        assert failed is None, failed.formatted
        _interpreters.destroy(identity)
except ImportError:
    import _xxsubinterpreters
    def run_isolated(code):
        identity = _xxsubinterpreters.create(isolated=True)
        _xxsubinterpreters.run_string(identity, code)
        _xxsubinterpreters.destroy(identity)
"""


def isolated(code: str, main: str = "") -> subprocess.CompletedProcess[str]:
    """Runs CODE in a sub-interpreter of a fresh process, after MAIN in its main interpreter."""
    program = f"{PREAMBLE}\n{main}\nrun_isolated({textwrap.dedent(code)!r})\nprint('ended', flush=True)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_the_core_loads_in_an_interpreter_with_its_own_gil() -> None:
    done = isolated("import triga; print(sorted(triga.stats()) != [], flush=True)", main="import triga")
    assert (done.stdout, done.stderr) == ("True\nended\n", "")


def test_installation_is_per_interpreter() -> None:
    done = isolated(
        "import triga; print(sorted(triga.installed_parts()), flush=True)",
        main="import triga; triga.install(loop=False)",
    )
    assert (done.stdout, done.stderr) == ("[]\nended\n", "")


@pytest.fixture
def dies_of_asyncio_itself() -> bool:
    """Does plain Python die in its last moments when a sub-interpreter has run an asyncio loop? Those of 3.12 do."""
    done = isolated("import asyncio; asyncio.run(asyncio.sleep(0.001))")
    assert done.stdout == "ended\n"
    return done.returncode < 0


def test_a_loop_there_has_timers_sockets_executors_and_files(dies_of_asyncio_itself: bool) -> None:
    done = isolated(
        """
        import asyncio, triga
        from triga import aio

        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        async def main():
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\\n")
            assert await reader.readline() == b"line\\n"
            writer.close()
            server.close()
            await asyncio.sleep(0.001)
            assert await asyncio.get_running_loop().run_in_executor(None, pow, 2, 5) == 32
            assert (await aio.read_file("/proc/self/status")).startswith(b"Name:")

        triga.run(main())
        print(triga.stats()["timers_fired"] > 0, flush=True)
        """,
    )
    assert done.stdout == "True\nended\n"
    assert dies_of_asyncio_itself or (done.returncode, done.stderr) == (0, "")
