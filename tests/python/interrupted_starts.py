"""A program that is interrupted at chosen lines of what starts a process, and has to be able to start one afterwards.

Usage: interrupted_starts.py METHOD <LINES: prints how many lines a start runs, or, for each line whose number comes on
standard input, the exit code of a process that was started after an interrupt there. Each start finds a zygote that has
to be replaced.
"""

from __future__ import annotations

import ast
import functools
import json
import multiprocessing
import os
import sys
from multiprocessing import forkserver
from pathlib import Path
from types import FrameType
from typing import Any

import triga

WATCHED = str(Path(triga.__file__).parent / "_processes")


@functools.cache
def lines_of(path: str, kind: type[ast.stmt]) -> set[int]:
    """Where the statements of a kind begin in a file."""
    return {node.lineno for node in ast.walk(ast.parse(Path(path).read_bytes())) if isinstance(node, kind)}


class Lines:
    """Counts the lines that run in triga's package for processes, and interrupts the program at one of them.

    Not where the interpreter runs no signal handler: at "try:", which the handlers around it do not cover, and where a
    with statement is left, which is its line again, and where an exception would keep __exit__ from being called.
    """

    def __init__(self, stop: int | None) -> None:
        self.count, self.stop = 0, stop
        self.entered: set[tuple[int, int]] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Lines | None:
        path = frame.f_code.co_filename
        if not path.startswith(WATCHED):
            return None
        if event == "call":
            self.entered -= {each for each in self.entered if each[0] == id(frame)}
        place = (id(frame), frame.f_lineno)
        if event == "line" and place not in self.entered and frame.f_lineno not in lines_of(path, ast.Try):
            if frame.f_lineno in lines_of(path, ast.With):
                self.entered.add(place)
            self.count += 1
            if self.count == self.stop:
                raise KeyboardInterrupt
        return self


def start(method: str, code: int) -> int | None:
    process = multiprocessing.get_context(method).Process(target=sys.exit, args=(code,))
    process.start()
    process.join()
    return process.exitcode


def outdate(method: str, number: int) -> None:
    """Makes the zygote one that the next start has to replace."""
    if method == "spawn":
        os.environ["TRIGA_TEST_NUMBER"] = str(number)
    else:
        server = forkserver._forkserver._triga_running
        server.process.send_signal(9)
        server.process.wait()


def main(method: str, stops: list[int]) -> None:
    start(method, 0)
    for number, stop in enumerate(stops or [None]):
        outdate(method, number)
        lines = Lines(stop)
        try:
            sys.settrace(lines)
            start(method, 0)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        print(json.dumps(lines.count if stop is None else [stop, start(method, 7)]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [int(each) for each in sys.stdin.read().split()])
