"""The package's own consistency: its table of patches, its stub file and its start-up files."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import triga
from triga import _core
from triga._parts import PARTS

HOME = Path(triga.__file__).parent
ENTRIES = [
    (module, target)
    for patches in PARTS.values()
    for module, targets in patches.items()
    for target in ([targets] if isinstance(targets, str) else targets)
]


def test_every_part_patches_something() -> None:
    assert {part for part, patches in PARTS.items() if patches} == {"threads", "processes", "loop"}


@pytest.mark.parametrize(("module", "target"), ENTRIES, ids=[f"{m}-{t}" for m, t in ENTRIES])
def test_an_entry_of_the_table_names_a_module_and_a_function(module: str, target: str) -> None:
    assert importlib.util.find_spec(module) is not None
    name, _, function = target.partition(":")
    assert callable(getattr(importlib.import_module(name), function))


def stub_names() -> set[str]:
    """The names at the top of _core.pyi."""
    names: set[str] = set()
    for node in ast.parse((HOME / "_core.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if "type_check_only" not in [ast.unparse(each) for each in node.decorator_list]:
                names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_the_stub_file_names_what_the_extension_has() -> None:
    private_to_stub = {name for name in stub_names() if name.startswith("_")}
    there = {name for name in dir(_core) if not name.startswith("__")}
    assert stub_names() - private_to_stub == there - private_to_stub


LATER = """
import sys, threading
import triga._core as core
assert not hasattr(core, "__nothing__") and "ChildProcess" not in vars(core)
{prepare}
found, together = [], threading.Barrier(8)
def ask(name):
    together.wait()
    found.append(getattr(core, name, None))
threads = [threading.Thread(target=ask, args=(name,)) for name in ("ChildProcess", "pipe", "nothing", "WorkingSet") * 2]
sys.setswitchinterval(1e-6)
for each in threads: each.start()
for each in threads: each.join()
print(found.count(None), core.ChildProcess in found, core.pipe in found, set(dir(core)) == set(vars(core)))
"""


@pytest.mark.parametrize("prepare", ["", "import triga; triga.install()"])
def test_what_few_programs_need_is_made_when_it_is_asked_for(prepare: str) -> None:
    """By several threads at once, too."""
    program = LATER.format(prepare=prepare)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout.split(), ended.stderr) == (["2", "True", "True", "True"], "")


@pytest.mark.parametrize(
    "program", ["import queue, concurrent.futures", "import asyncio; asyncio.run(asyncio.sleep(0))"]
)
def test_threads_and_loops_do_not_ask_for_it(program: str) -> None:
    program = f"import triga; triga.install(); {program}; print('ChildProcess' in vars(triga._core))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout, ended.stderr) == ("False\n", "")


def test_both_start_up_files_lie_beside_the_package() -> None:
    assert (HOME.parent / "triga.pth").read_text().startswith("import ")  # else site.py takes it for a path
    module, _, function = (HOME.parent / "triga.start").read_text().strip().partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_without_the_variable_nothing_of_triga_is_imported() -> None:
    start_up = "_triga_start"  # what triga.start names, on 3.15
    code = f"import sys; print([name for name in sys.modules if 'triga' in name and name != {start_up!r}])"
    environment = {name: value for name, value in os.environ.items() if name != "TRIGA"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("options", [(), ("-I",), ("-E",), ("-s", "-P", "-O")], ids=" ".join)
def test_the_variable_reaches_an_interpreter_without_a_warning(options: tuple[str, ...]) -> None:
    code = "import triga; print(sorted(triga.installed_parts()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", code],
        capture_output=True, text=True, timeout=60, env={**os.environ, "TRIGA": "1"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("['loop', 'processes', 'threads']\n", "")
