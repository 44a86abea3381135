"""install(), uninstall() and the environment variable TRIGA."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref

import pytest

import triga
from triga._parts import ALL, parse_parts


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter with ARGUMENTS and ENVIRONMENT added."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [("1", ALL), ("all", ALL), ("0", frozenset()), ("threads, loop", frozenset({"threads", "loop"}))],
)
def test_parse_parts(text: str, parts: frozenset[str]) -> None:
    assert parse_parts(text) == parts


def test_parse_parts_names_the_word_that_is_no_part() -> None:
    with pytest.raises(ValueError, match="'coroutines' is no part of triga"):
        parse_parts("threads,coroutines")


def test_install_twice_is_install_once() -> None:
    with triga.installed():
        assert triga.installed_parts() == ALL
        triga.install()
        assert triga.installed_parts() == ALL
    assert triga.installed_parts() == frozenset()
    triga.uninstall()


def test_a_part_can_be_left_out() -> None:
    with triga.installed(processes=False):
        assert triga.installed_parts() == {"threads", "loop"}


def test_activation_imports_neither_threading_nor_asyncio() -> None:
    done = python("-c", "import sys; print({'threading', 'asyncio', 'queue'} & set(sys.modules))", TRIGA="1")
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_a_wrong_value_is_one_sentence_and_no_half_installed_state() -> None:
    done = python("-c", "import triga; print(sorted(triga.installed_parts()))", TRIGA="thread")
    assert done.stdout == "[]\n"
    assert done.stderr.count("\n") == 1
    assert "'thread' is no part of triga" in done.stderr


def test_uninstall_leaves_what_somebody_else_put_there() -> None:
    from triga._patch import Replaced

    class Owner:
        first = 1
        second = 2

    replaced = Replaced()
    replaced(Owner, "first", 10)
    replaced(Owner, "second", 20)
    replaced(Owner, "third", 30)
    Owner.second = 99
    replaced.undo()
    assert (Owner.first, Owner.second, hasattr(Owner, "third")) == (1, 99, False)


def test_what_is_replaced_again_and_again_is_remembered_once() -> None:
    """A forkserver that is started again puts its new state there."""
    from triga._patch import Replaced

    class Owner:
        name = 1

    class Value:
        pass

    replaced = Replaced()
    replaced(Owner, "name", value := Value())
    gone = weakref.ref(value)
    replaced(Owner, "name", value := Value())
    assert gone() is None
    replaced.undo()
    assert Owner.name == 1


def test_a_forked_child_counts_from_zero_and_stays_installed() -> None:
    program = (
        "import os, queue, triga\n"
        "q = queue.SimpleQueue(); q.put(1); q.get()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    print(sum(triga.stats().values()), len(triga.installed_parts()), flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
    )
    done = python("-c", program, TRIGA="1")
    assert (done.stdout, done.stderr) == ("0 3\n", "")


def test_install_after_threads_have_run_reaches_new_ones_only() -> None:
    program = (
        "import threading\n"
        "go = threading.Event()\n"
        "early = threading.Thread(target=go.wait); early.start()\n"
        "import triga; triga.install()\n"
        "late = threading.Thread(target=go.set); late.start(); late.join(); early.join()\n"
        "counts = triga.stats(); print(counts['threads_started'] + counts['threads_reused'])\n"
    )
    done = python("-c", program)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_program_without_triga_starts_without_importing_it() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRIGA"}
    program = "import sys; print([name for name in sys.modules if name.split('.')[0] == 'triga'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "[]\n"


def test_the_way_in_of_python_3_15_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import _triga_start

    monkeypatch.setenv("TRIGA", "0")
    _triga_start.activate()
    monkeypatch.delenv("TRIGA")
    _triga_start.activate()
    assert triga.installed_parts() == frozenset()


@pytest.mark.parametrize("first", ["sys", "triga._processes.worker", "triga; triga.Pool"])
def test_a_module_that_two_parts_patch_is_patched_by_both(first: str) -> None:
    """Each part has a finder. One that passed over the other's left its patch out; and ours can be imported first."""
    text = f"import {first}; import multiprocessing.pool as m"
    text += "; print(*[each.__init__.__globals__['__name__'] for each in (m.Pool, m.ThreadPool)])"
    done = python("-c", text, TRIGA="1")
    assert (done.stdout, done.stderr) == ("triga._processes.pool triga._threads.thread_pool\n", "")
