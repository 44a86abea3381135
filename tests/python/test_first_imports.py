"""Each module of the package can be the first that an interpreter imports: a worker's pickle may name any of them.

A module of the package imports one of the standard library's, which is patched by that, and the module of the patch
may lead back to the first, half made.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import triga

ROOT = Path(triga.__file__).parent
MODULES = sorted(
    ".".join(("triga", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py"
)


@pytest.mark.parametrize("installed", [True, False], ids=["installed", "not installed"])
def test_every_module_can_be_imported_first(installed: bool) -> None:
    assert len(MODULES) > 50
    # One interpreter each; forking one that has imported nothing takes a tenth of starting it.
    program = """
import os, sys
sys.path.insert(0, sys.argv[1])
import triga
if sys.argv[2] == "True":
    triga.install()
failed = []
for name in sys.argv[3:]:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            __import__(name)
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if os.waitpid(pid, 0)[1] != 0:
        failed.append(name)
print(*failed)
"""
    command = [sys.executable, "-S", "-c", program, str(ROOT.parent), str(installed), *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_a_pool_of_forked_processes_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    # Imports are most of a short program's time; the standard library's own Pool does without these, too.
    script = tmp_path / "script.py"
    script.write_text("""
import multiprocessing, sys
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    unwanted = ("concurrent.futures", "logging", "multiprocessing.resource_tracker", "multiprocessing.spawn")
    print([name for name in unwanted if name in sys.modules])
""")
    done = subprocess.run(
        [sys.executable, "-m", "triga", str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
