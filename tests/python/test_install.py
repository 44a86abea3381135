"""install(), uninstall() and the environment variable TRIGA."""

from __future__ import annotations

import os
import subprocess
import sys

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
