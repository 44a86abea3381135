"""What triga.start names (3.15 and later): a start-up entry has to be importable, and triga should not be without TRIGA."""

import os


def activate() -> None:
    """Installs the parts that the environment variable TRIGA names; imports nothing of triga without it."""
    if os.environ.get("TRIGA"):
        from triga._activate import activate as activate_parts

        activate_parts()
