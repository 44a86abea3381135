"""python -m triga: see triga._cli."""

import sys

from triga._cli import main
from triga._run import interpreter_options

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], interpreter_options(sys.orig_argv)))
