"""How ``python -m triga ...`` runs a program: by becoming the interpreter that runs it.

The process replaces itself (execve) by ``python ...`` with TRIGA set. So the script is the real ``__main__`` for the
life of the interpreter, and sys.argv, sys.path[0], sys.orig_argv, exit codes, tracebacks, Ctrl-C and the messages for
a script that does not exist are the interpreter's own. It costs one more interpreter start, about 10 ms.
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


def interpreter_options(orig_argv: Sequence[str]) -> list[str]:
    """The options before ``-m triga`` on the command line: ``python -u -X dev -m triga s.py`` gives -u -X dev."""
    options: list[str] = []
    words = iter(orig_argv[1:])
    for word in words:
        if word.startswith("--"):
            options.append(word)
            if word == "--check-hash-based-pycs":
                options.append(next(words, ""))
            continue
        letters = word[1:]
        for at, letter in enumerate(letters):
            if letter == "m":
                return options + (["-" + letters[:at]] if at else [])
            if letter in _WITH_VALUE:
                options.append(word)
                if at == len(letters) - 1:
                    options.append(next(words, ""))
                break
        else:
            options.append(word)
    return options


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
