"""How ``python -m triga ...`` runs a program: by becoming the interpreter that runs it.

The process replaces itself (execve) by ``python ...`` with TRIGA set. So the script is the real ``__main__`` for the
life of the interpreter, and sys.argv, sys.path[0], sys.orig_argv, exit codes, tracebacks, Ctrl-C and the messages for
a script that does not exist are the interpreter's own. It costs one more interpreter start, of which half is saved
where it is begun from triga.pth (become_early), before this interpreter is ready.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

# Options of the python command that take the next word as their value.
_WITH_VALUE = "XW"

# First words of triga's own; all else is a program.
_OWN_WORDS = frozenset({"", "-h", "--help", "-V", "--version", "doctor"})


def split_command(orig_argv: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """``python -u -X dev -m triga s.py 1`` gives ([-u, -X, dev], "triga", [s.py, 1]); the name is "" without a -m."""
    options: list[str] = []
    words = list(orig_argv[1:])
    while words and words[0][:1] == "-" and words[0] not in ("-", "--"):
        word = words.pop(0)
        if word.startswith("--"):
            options.append(word)
            if word == "--check-hash-based-pycs":
                options += words[:1]
                del words[:1]
            continue
        for at, letter in enumerate(word[1:], 1):
            if letter == "m":
                options += ["-" + word[1:at]] if at > 1 else []
                module = word[at + 1 :] or "".join(words[:1])
                return options, module, words if word[at + 1 :] else words[1:]
            if letter == "c":
                return options, "", []
            if letter in _WITH_VALUE:
                options.append(word)
                if at == len(word) - 1:
                    options += words[:1]
                    del words[:1]
                break
        else:
            options.append(word)
    return options, "", []


def is_program(arguments: Sequence[str]) -> bool:
    """Whether the words after ``-m triga`` are a program's, and not triga's own."""
    return bool(arguments) and arguments[0] not in _OWN_WORDS


def activation_refusal() -> str | None:
    """Why an interpreter started now would not read triga.pth, or None."""
    if sys.flags.no_site:
        return "-S keeps the interpreter from reading triga.pth"
    # Not by pathlib: every program would wait for its import.
    package = os.path.dirname(__file__)  # noqa: PTH120
    if not os.path.isfile(os.path.join(os.path.dirname(package), "triga.pth")):  # noqa: PTH113, PTH118, PTH120
        return f"there is no triga.pth beside {package}; install triga with pip instead of by path"
    return None


def run(arguments: Sequence[str], options: Sequence[str] = ()) -> NoReturn:
    """Becomes ``python OPTIONS ARGUMENTS`` with every part active, or those that TRIGA already names."""
    refusal = activation_refusal()
    if refusal is not None:
        sys.exit(f"triga: cannot run {' '.join(arguments) or 'a program'}: {refusal}")
    if not sys.executable:
        sys.exit("triga: cannot run a program: sys.executable is empty, so there is no interpreter to run it with")
    if os.environ.get("TRIGA", "0") in ("", "0"):
        os.environ["TRIGA"] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *options, *arguments])


def become_early() -> None:
    """run(), where this interpreter was started as ``python -m triga PROGRAM``."""
    options, module, arguments = split_command(sys.orig_argv)
    if module != "triga" or not is_program(arguments) or activation_refusal() is not None:
        return
    run(arguments, options)
