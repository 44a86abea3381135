"""The command line: python -m triga, and the console script triga."""

from __future__ import annotations

import sys

from triga._run import is_program, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = """\
usage: python -m triga script.py [args]     run an unchanged program on triga's native backend
       python -m triga -m module [args]
       python -m triga -c "code" [args]
       python -m triga doctor               what this machine offers and which part runs natively
       python -m triga --version

The same without the runner: TRIGA=1 python script.py, or import triga; triga.install() in the program.
TRIGA=threads,loop picks parts; TRIGA_STATS=FILE appends a line of counters for each process.
"""


def main(arguments: Sequence[str] | None = None, options: Sequence[str] = ()) -> int | str:
    """Runs a program or a subcommand; returns the exit status, except that running a program never returns."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if is_program(words):
        run(words, options)
    first = words[0] if words else ""
    if first in ("", "-h", "--help"):
        print(USAGE, end="", file=sys.stdout if first else sys.stderr)
        return 0 if first else 2
    if first in ("-V", "--version"):
        from triga import __version__

        print(f"triga {__version__}")
        return 0
    from triga._doctor import doctor

    return doctor(words[1:])
