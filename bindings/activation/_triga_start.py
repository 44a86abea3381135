"""What triga.start names (3.15): a start-up entry has to be importable, and without TRIGA triga should not be."""

import os


def activate() -> None:
    """Installs the parts that the environment variable TRIGA names; imports nothing of triga without it."""
    if os.environ.get("TRIGA"):
        from triga._activate import activate as activate_parts

        activate_parts()
