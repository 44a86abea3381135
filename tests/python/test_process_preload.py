"""What a started process finds imported: nothing of the user's, unless the user named it; and what it can rely on then.

Each script runs in a fresh interpreter, with a module of the user's beside it that says which process imports it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import triga

THEIRS = """\
import os
print("imported", flush=True)
imported_by = os.getpid()
class Last:
    def __del__(self, write=os.write): write(1, b"deleted\\n")
last = Last()
"""
PRELUDE = """\
import multiprocessing as mp, os, sys
def start(method, target, *arguments):
    process = mp.get_context(method).Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0, process.exitcode
def tell(parent):
    import theirs
    assert theirs.imported_by != parent
    print("own" if theirs.imported_by == os.getpid() else "shared", flush=True)
"""


@pytest.fixture(name="script")
def _script(tmp_path: Path):
    """A function that runs a script's text with the module ``theirs`` beside it, natively unless told otherwise."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    counter = iter(range(10))

    def run_script(text: str, native: bool = True) -> subprocess.CompletedProcess[str]:
        script = tmp_path / f"script{next(counter)}.py"
        script.write_text(PRELUDE + textwrap.dedent(text))
        environment = {**os.environ, "TRIGA": "processes" if native else "0"}
        return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env=environment)

    return run_script


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_module_of_the_users_is_imported_by_each_process_that_needs_it(script, method: str, native: bool) -> None:
    done = script(
        f"""
        if __name__ == "__main__":
            for _ in range(2): start({method!r}, tell, os.getpid())
        """,
        native,
    )
    assert (done.returncode, done.stderr) == (0, "")
    deleted = ["deleted"] if method == "spawn" else []  # the forkserver's processes end without taking modules down
    assert done.stdout.split() == ["imported", "own", *deleted] * 2


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_module_named_to_install_is_imported_once_for_all_processes(script, method: str) -> None:
    done = script(
        f"""
        import triga
        if __name__ == "__main__":
            triga.install(preload=["theirs"])
            for _ in range(3): start({method!r}, tell, os.getpid())
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    deleted = ["deleted"] if method == "spawn" else []
    lines = done.stdout.split()
    assert lines[0] == "imported"
    assert lines[1 : 1 + len(["shared", *deleted] * 3)] == ["shared", *deleted] * 3
    # The forkserver itself ends as an interpreter does, which may be after this program.
    assert set(lines[1:]) <= {"shared", "deleted"}


def test_a_new_list_of_modules_holds_from_the_next_spawn_on(script) -> None:
    done = script(
        """
        import triga
        if __name__ == "__main__":
            start("spawn", tell, os.getpid())
            triga.install(preload=["theirs"])
            start("spawn", tell, os.getpid())
            triga.install()
            start("spawn", tell, os.getpid())
            triga.install(preload=[])
            start("spawn", tell, os.getpid())
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    imported, own, shared = "imported", ["own", "deleted"], ["shared", "deleted"]
    assert done.stdout.split() == [imported, *own, imported, *shared, *shared, imported, *own]


@pytest.mark.parametrize("native", [False, True])
def test_the_forkservers_own_list_is_imported_once(script, native: bool) -> None:
    done = script(
        """
        if __name__ == "__main__":
            sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
            os.environ["PYTHONPATH"] = sys.path[0]
            mp.set_forkserver_preload(["theirs"])
            for _ in range(3): start("forkserver", tell, os.getpid())
        """,
        native,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[:4] == ["imported", "shared", "shared", "shared"]


def test_a_named_module_that_cannot_be_imported_is_said_and_the_processes_start(script) -> None:
    done = script(
        """
        import triga
        def work(): print("work", flush=True)
        if __name__ == "__main__":
            triga.install(preload=["no_such_module_anywhere", "theirs"])
            for _ in range(2): start("spawn", work)
        """
    )
    assert done.returncode == 0
    assert done.stdout.split() == ["imported", "work", "deleted", "work", "deleted"]
    assert done.stderr.count("'no_such_module_anywhere' was not imported: ModuleNotFoundError(") == 1
    assert "preload" in done.stderr


@pytest.mark.parametrize("preload", ["theirs", [1], ["fine", None]])
def test_a_list_that_is_none_of_names_is_refused(preload: object) -> None:
    with pytest.raises(TypeError, match="preload"):
        triga.install(preload=preload)  # type: ignore[arg-type]


def test_the_main_module_cannot_be_named() -> None:
    with pytest.raises(ValueError, match="set_forkserver_preload"):
        triga.install(preload=["__main__"])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("native", [False, True])
def test_a_process_has_run_nobodys_work_before(script, method: str, native: bool) -> None:
    """What a process leaves in modules of the standard library, too, is never seen by the next one."""
    done = script(
        f"""
        import collections
        def work(number):
            seen = [getattr(collections, "left_behind", None), os.environ.get("LEFT"), os.getcwd()]
            collections.left_behind = os.environ["LEFT"] = str(number)
            collections.OrderedDict.__doc__  # a type that all share
            os.chdir("/")
            os.umask(0)
            print(seen[:2], seen[2] == sys.argv[0] or os.path.dirname(sys.argv[0]) == seen[2], flush=True)
        if __name__ == "__main__":
            os.chdir(os.path.dirname(sys.argv[0]))
            for number in range(4): start({method!r}, work, number)
        """,
        native,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["[None, None] True"] * 4


@pytest.mark.parametrize("native", [False, True])
def test_an_extension_module_of_a_process_own_is_finalised_with_the_interpreter(script, native: bool) -> None:
    """Such a process goes through all of Py_Finalize, with the standard library's immortal objects around it."""
    done = script(
        """
        import array, atexit
        def work():
            for name in ("_lsprof", "mmap", "_ctypes", "_multiprocessing", "zoneinfo", "_testcapi"):
                try: __import__(name)
                except ImportError: pass
            atexit.register(print, "atexit", flush=True)
        if __name__ == "__main__":
            for _ in range(3): start("spawn", work)
        """,
        native,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["atexit"] * 3


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("native", [False, True])
def test_a_process_whose_arguments_do_not_fit_a_pipe_is_given_all_of_them(script, method: str, native: bool) -> None:
    done = script(
        f"""
        import hashlib
        def work(data, digest):
            assert hashlib.sha256(data).hexdigest() == digest
            print(len(data), flush=True)
        if __name__ == "__main__":
            for size in (10, 65_000, 66_000, 3_000_000):
                data = os.urandom(size)
                start({method!r}, work, data, hashlib.sha256(data).hexdigest())
        """,
        native,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["10", "65000", "66000", "3000000"]


def _zygote_script(expression: str) -> str:
    return f"""
        import gc
        def work():
            from triga import _core
            print({expression}, flush=True)
        if __name__ == "__main__":
            for _ in range(2): start("spawn", work)
        """


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 has no immortal objects")
def test_functions_of_the_standard_library_are_immortal_in_a_started_process_and_the_users_are_not(script) -> None:
    done = script(_zygote_script("sys.getrefcount(os.path.join) > 1 << 28, sys.getrefcount(work) < 1 << 20"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["True", "True"] * 2
