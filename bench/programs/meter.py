"""Times one scenario in a process of its own, and prints the result as one line of JSON.

A scenario is a function ``scenario(meter)`` that prepares what it needs and then times its work::

    with meter(operations):
        ...

``meter.n(count)`` is ``count`` scaled down for a quick run. Times are wall-clock and CPU seconds. The CPU time is that
of this process and its ended children, or of every process of our session, so that the workers of a pool count.
"""

import json
import os
import resource
import sys
import time
from contextlib import contextmanager
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def session_cpu():
    """CPU seconds of all processes of this session and of their dead children, in steps of a clock tick."""
    session, ticks = os.getsid(0), 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # After the command's name, which may hold anything but is the only thing in brackets.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return ticks * TICK


def process_cpu():
    """CPU seconds of this process and of its children that were waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Meter:
    """Times the work of one scenario."""

    def __init__(self, scale=1.0, *, arm="stdlib", many_processes=False):
        self.scale = scale
        self.arm = arm
        self._cpu = session_cpu if many_processes else process_cpu

    def n(self, count, least=2):
        """``count`` operations, fewer in a quick run."""
        return max(least, int(count * self.scale))

    @contextmanager
    def __call__(self, operations, **more):
        """Times the block as that many operations; ``more`` goes into the result as it is."""
        cpu, start = self._cpu(), time.perf_counter()
        yield
        seconds, cpu = time.perf_counter() - start, self._cpu() - cpu
        print(json.dumps({"operations": operations, "seconds": seconds, "cpu": cpu, **more}), flush=True)


def main(scenarios, *, many_processes=False):
    """``python program.py SCENARIO [SCALE [ARM]]``: runs one of ``scenarios``, functions by name."""
    name = sys.argv[1]
    scale, arm = ([*sys.argv[2:], "stdlib"] if len(sys.argv) > 2 else ["1", "stdlib"])[:2]
    scenarios[name](Meter(float(scale), arm=arm, many_processes=many_processes))


def table(*functions):
    """Functions by name."""
    return {function.__name__: function for function in functions}
