"""python -m tests.stress --seed SEED --tasks COUNT: see threads.py."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time

from tests.stress.threads import Stress


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description="threads, queues, futures and pools")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.tasks} tasks", flush=True)
    # A hang shows where every thread is.
    faulthandler.dump_traceback_later(120 + options.tasks // 500, exit=True)
    start = time.monotonic()
    stress = Stress(options.seed, options.tasks)
    stress.run()
    print(f"{stress.tally.describe()}; {time.monotonic() - start:.1f} s")
    problems = stress.tally.problems()
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
