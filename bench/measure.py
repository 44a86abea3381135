"""Runs one row on one arm, in a fresh process, and reads what it printed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

from bench.native_programs import build_modules
from bench.rows import IN_PYTHON, Echo, Floor, Row

PROGRAMS = Path(__file__).parent / "programs"
SAMPLES = Path(__file__).parent.parent / "pysamples"
TIME_LIMIT = 120  # seconds for one run of one arm; the longest takes a few
UNITS = {"us": 1e6, "ms": 1e3, "us CPU": 1e6}


class Failed(Exception):
    """A run that gave no number: why, in a line."""


@dataclass(frozen=True)
class Sample:
    """One run: its cost an operation in the row's unit, its CPU microseconds an operation, and what else it said."""

    value: float
    cpu_us: float
    more: Mapping[str, float]


@dataclass(frozen=True)
class Bench:
    """What every run needs: the interpreter, the folder of the C++ programs and the scale of the counts."""

    python: str
    native: Path
    scale: float

    def environment(self, arm: str) -> dict[str, str]:
        """Ours, with triga switched on for its own arm only, and with compiled modules kept, as is the default."""
        left_out = ("TRIGA", "PYTHONDONTWRITEBYTECODE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        return inherited | ({"TRIGA": "1"} if arm == "triga" else {})

    def run(self, row: Row, arm: str) -> Sample:
        """One run of the row on the arm. Raises Failed."""
        if row.echo is not None:
            server = PROGRAMS / ("http_server.py" if row.program == "http" else "echo_server.py")
            command = [self.python, str(server), server_kind(row.echo), arm]
            return sample_of(row.unit, self.load(row.echo, command, self.environment(arm)))
        if row.program == "pool":
            count = str(max(4, int(row.count * self.scale)))
            return sample_of(row.unit, last_line([str(self.native / f"pool_{arm}"), row.name, count], {}))
        if row.program == "pysamples":
            return sample_of(
                row.unit, whole_program([self.python, str(SAMPLES / f"{row.name}.py")], self.environment(arm))
            )
        # Another project's pool needs a program of its own; another loop comes into the same one.
        program = "process_peers" if row.program == "processes" and arm in row.peers else row.program
        command = [self.python, str(PROGRAMS / f"{program}.py"), row.name, str(self.scale), arm]
        return sample_of(row.unit, last_line(command, self.environment(arm)))

    def run_floor(self, floor: Floor) -> Sample:
        """One run of a physical limit. Raises Failed."""
        program, *words = floor.command
        if program in IN_PYTHON:
            command = [self.python, str(PROGRAMS / f"{IN_PYTHON[program]}.py"), program, str(self.scale)]
            return sample_of("us", last_line(command, self.environment("stdlib")))
        if program in ("loop", "least_tls"):
            command = [self.python, str(PROGRAMS / f"{program}.py"), words[0], str(self.scale), *words[1:]]
            modules = {"PYTHONPATH": str(build_modules(self.python))}
            return sample_of("us", last_line(command, self.environment("stdlib") | modules))
        if program == "least_streams":
            modules = {"PYTHONPATH": str(build_modules(self.python))}
            server = [self.python, str(PROGRAMS / f"{program}.py")]
            return sample_of("us CPU", self.load(echo_of(words), server, self.environment("stdlib") | modules))
        if program == "echo_server":
            echo = echo_of(words)
            with TemporaryDirectory() as folder:
                server = [str(self.native / program), echo.server, str(Path(folder, "socket"))]
                return sample_of("us CPU", self.load(echo, server, {}))
        *fixed, count = words
        scaled = str(max(2, int(int(count) * self.scale)))
        return sample_of("us", last_line([str(self.native / program), *fixed, scaled], {}))

    def load(self, echo: Echo, server: list[str], environment: Mapping[str, str]) -> dict[str, float]:
        """Starts the server, loads it, and returns what the load says."""
        scaled = replace(echo, messages=max(200, int(echo.messages * self.scale)))
        with started(server, environment) as (process, where):
            return last_line(load_command(self.native, scaled, where, process.pid), {})


def echo_of(words: list[str]) -> Echo:
    """The load of a limit: transport, connections, bytes a message and messages, as its row has them."""
    transport, *numbers = words
    return Echo(transport, *map(int, numbers))


def load_command(native: Path, echo: Echo, where: str, pid: int) -> list[str]:
    """What loads the server, which listens there."""
    program, *kind = ["https_load"] if echo.transport == "https" else ["echo_load", echo.transport]
    numbers = [echo.connections, echo.size, echo.messages, pid]
    return [str(native / program), *kind, where, *map(str, numbers)]


def server_kind(echo: Echo) -> str:
    """An idle connection is one of protocols."""
    return "protocols" if echo.server == "idle" else echo.server


def sample_of(unit: str, answer: Mapping[str, float]) -> Sample:
    """The answer's numbers an operation, in ``unit``."""
    operations = answer["operations"]
    cpu_us = answer["cpu"] * 1e6 / operations
    if unit == "bytes":
        value = answer["bytes"] / operations
    elif unit == "us CPU":
        value = cpu_us
    else:
        value = answer["seconds"] * UNITS[unit] / operations
    more = {name: number for name, number in answer.items() if name not in ("operations", "seconds", "cpu")}
    if answer["seconds"]:
        more["operations_per_second"] = operations / answer["seconds"]
    return Sample(value, cpu_us, more)


def end_session(process: subprocess.Popen[Any]) -> None:
    """Kills what is left of a run: it has a session, and so a process group, of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_line(command: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Runs the command and parses the last line that it prints. Raises Failed."""
    lines = run_to_end(command, environment)
    if not lines:
        raise Failed("nothing printed")
    answer: dict[str, float] = json.loads(lines[-1])
    return answer


def run_to_end(command: list[str], environment: Mapping[str, str]) -> list[str]:
    """Runs the command in a session of its own and returns the lines that it printed. Raises Failed."""
    # Files, not pipes: a helper process that outlives the run must not keep us reading.
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors, start_new_session=True)
        try:
            if not ends_in_time(process):
                raise Failed(f"stopped after {TIME_LIMIT} s")
        finally:
            end_session(process)
        if process.returncode != 0:
            raise Failed(f"exit code {process.returncode}: {(lines_of(errors) or ['nothing printed'])[-1]}")
        return lines_of(output)


def ends_in_time(process: subprocess.Popen[Any]) -> bool:
    """Sleeps until the process ended. (Popen.wait() with a timeout looks every 50 ms, which is too coarse a clock.)"""
    pidfd = os.pidfd_open(process.pid)
    try:
        ended = bool(select.select([pidfd], [], [], TIME_LIMIT)[0])
    finally:
        os.close(pidfd)
    if ended:
        process.wait()
    return ended


def whole_program(command: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Runs a program from start to end: its wall-clock time, and the CPU time of it and the children it waited for."""
    before, start = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    run_to_end(command, environment)
    seconds, after = time.perf_counter() - start, getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"operations": 1, "seconds": seconds, "cpu": cpu}


def lines_of(file: IO[str]) -> list[str]:
    """What a process wrote into the file."""
    file.seek(0)
    return file.read().strip().splitlines()


@contextmanager
def started(command: list[str], environment: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that prints where it listens, killed at the end."""
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:
            try:
                where = process.stdout.readline().strip()
                if not where:
                    raise Failed(f"the server did not start: {(lines_of(errors) or ['nothing printed'])[-1]}")
                yield process, where
            finally:
                end_session(process)
