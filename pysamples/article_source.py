"""Takes the Python snippets out of the article that pysamples/article/ was copied from.

    python -m pysamples.article_source ARTICLE.md            compares them with the files here; 1 if any differs
    python -m pysamples.article_source ARTICLE.md --write    writes the files and their SHA256SUMS

The article's code blocks are indented by four spaces. A block is dedented by those four, loses the blank lines after
its end, as Markdown has it, and is Python if it starts with ``import`` (the others are blank, or output of a run).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

ARTICLE = Path(__file__).parent / "article"
SUMS = ARTICLE / "SHA256SUMS"

# In the order of the article.
NAMES = (
    "thread_function.py",
    "thread_subclass.py",
    "thread_pool.py",
    "process_function.py",
    "process_subclass.py",
    "process_pool.py",
    "async_run.py",
    "async_gather.py",
    "async_generator.py",
)

INDENT = "    "


def code_blocks(markdown: str) -> Iterator[str]:
    """The indented blocks of ``markdown``, dedented, each ending in one newline."""
    block: list[str] = []
    for line in [*markdown.split("\n"), "end"]:
        if line.startswith(INDENT):
            block.append(line.removeprefix(INDENT))
        elif block:
            yield "\n".join(block).rstrip("\n") + "\n"
            block = []


def snippets(markdown: str) -> dict[str, bytes]:
    """The Python snippets of the article under their names here; ValueError if their number is another."""
    found = [block.encode() for block in code_blocks(markdown) if block.startswith("import ")]
    if len(found) != len(NAMES):
        raise ValueError(f"the article has {len(found)} Python snippets, and pysamples/article/ names {len(NAMES)}")
    return dict(zip(NAMES, found, strict=True))


def recorded_sums() -> dict[str, str]:
    """File name to SHA-256, as ``sha256sum`` writes and checks them."""
    lines = SUMS.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def write(found: dict[str, bytes]) -> None:
    """Writes every snippet and the sums."""
    for name, content in found.items():
        (ARTICLE / name).write_bytes(content)
    sums = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in found.items())
    SUMS.write_text("".join(sums), encoding="utf-8")


def differing(found: dict[str, bytes]) -> list[str]:
    """The names whose file here is not, byte for byte, the article's snippet."""
    return [name for name, content in found.items() if (ARTICLE / name).read_bytes() != content]


def main() -> int:
    parser = argparse.ArgumentParser(description="compare pysamples/article/ with the article itself")
    parser.add_argument("article", type=Path)
    parser.add_argument("--write", action="store_true", help="write the files in place of comparing them")
    options = parser.parse_args()
    found = snippets(options.article.read_bytes().decode())
    if options.write:
        write(found)
        return 0
    for name in differing(found):
        print(f"pysamples/article/{name} differs from the article", file=sys.stderr)
    return 1 if differing(found) else 0


if __name__ == "__main__":
    sys.exit(main())
