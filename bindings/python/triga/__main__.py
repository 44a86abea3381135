"""python -m triga: see triga._cli."""

import sys

from triga._cli import main
from triga._run import split_command

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], split_command(sys.orig_argv)[0]))
