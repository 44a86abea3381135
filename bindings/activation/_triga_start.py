"""What triga.pth (to 3.14) and triga.start (3.15) name: it has to be importable where triga itself should not be."""

import os
import sys


def _is_in_current_folder() -> bool:
    """Whether -m would find another triga, in the folder that it searches first."""
    return not sys.flags.safe_path and any(map(os.path.exists, ("triga", "triga.py", "triga.pyc")))


def activate() -> None:
    """Installs the parts that the environment variable TRIGA names; imports nothing of triga without it.

    In ``python -m triga PROGRAM`` it becomes the interpreter of the program at once: what else this one imports before
    it would run triga's main module, or activates, is for nothing.
    """
    if "triga" in sys.orig_argv and not _is_in_current_folder():
        try:
            from triga._run import become_early
        except ImportError:  # another package of that name: -m finds it as well
            return
        become_early()
    if os.environ.get("TRIGA"):
        from triga._activate import activate as activate_parts

        activate_parts()
