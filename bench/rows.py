"""The rows of the benchmark: what is measured, against which peers, beside which physical limit."""

from __future__ import annotations

from dataclasses import dataclass

# Left out where there is no header: scripts/setup python3 bench installs those of the distribution, CPATH names others.
POOLS = ("tbb", "taskflow", "bs")
LOOPS = ("uvloop", "rloop", "zuvloop", "rsloop")
HTTP_SERVERS = ("uvicorn", "aiohttp")


@dataclass(frozen=True)
class Floor:
    """A physical limit: a program of bench/native (or of IN_PYTHON) whose cost nothing built here can go below."""

    title: str
    command: tuple[str, ...]

    @property
    def key(self) -> str:
        """Unique, so that rows that share a limit measure it once."""
        return " ".join(self.command)


@dataclass(frozen=True)
class Echo:
    """One load of an echo server: the kind of server, and connections, bytes and messages."""

    server: str
    connections: int
    size: int
    messages: int

    @property
    def transport(self) -> str:
        """What bench/native calls it."""
        if self.server.partition("_")[0] in HTTP_SERVERS:
            return "https" if self.server.endswith("_tls") else "http"
        return self.server if self.server in ("udp", "unix", "accept", "idle") else "tcp"


@dataclass(frozen=True)
class Row:
    """One line of a table. Every value is a cost, in ``unit`` an operation: less is better."""

    group: str
    name: str
    title: str
    program: str
    peers: tuple[str, ...] = ()
    floors: tuple[Floor, ...] = ()
    goal: float | None = None
    reference: str = "stdlib"
    unit: str = "us"
    echo: Echo | None = None
    needs: tuple[str, ...] = ()
    count: int = 0  # operations, where the program is C++

    @property
    def key(self) -> str:
        """Unique: group and name."""
        return f"{self.group}/{self.name}"


THREAD_WAKE = Floor("futex round trip of two threads, asleep", ("futex_round_trip", "threads", "sleep", "5000"))
THREAD_SPIN = Floor("the same, yielding the CPU in place of sleeping", ("futex_round_trip", "threads", "spin", "20000"))
PROCESS_WAKE = Floor("futex round trip of two processes, asleep", ("futex_round_trip", "processes", "sleep", "5000"))
PROCESS_SPIN = Floor("the same, yielding", ("futex_round_trip", "processes", "spin", "20000"))
PTHREAD = Floor("pthread_create + pthread_join", ("starts", "pthread", "3000"))
FORK = Floor("fork + waitpid of an empty process", ("starts", "fork", "300"))
POSIX_SPAWN = Floor("posix_spawn of /bin/true + waitpid", ("starts", "posix_spawn", "200"))
COPIES = Floor("four memcpys of 64 MiB, two into fresh huge pages", ("memory_copy", "objects", "6"))
IN_PLACE = Floor("two memcpys of 64 MiB", ("memory_copy", "in_place", "6"))
HASH_1 = Floor("OpenSSL in C, in memory", ("sha256", "1", "300"))
HASH_2 = Floor("the same by two processes that share nothing", ("sha256", "2", "300"))
CALL = Floor("one call of a Python function", ("python_call",))
BARE_FORK = Floor("os.fork + os._exit(0) + waitpid of the same interpreter", ("bare_fork",))
BARE_POOLS = Floor("one start of an interpreter that can spawn, and two such forks a pool", ("bare_pool_cycle",))


def _least_loop(scenario: str) -> tuple[Floor, ...]:
    """The scenario on a loop that can do nothing else (bench/programs/least_loop.py)."""
    return (Floor("the same on asyncio's own tasks and the least loop", ("loop", scenario, "least_loop")),)


# Limits that plain Python measures: the scenario's name, and the program of bench/programs that has it.
IN_PYTHON = {"python_call": "threads", "bare_fork": "processes", "bare_pool_cycle": "processes"}


def _threads() -> list[Row]:
    wakes, call = (THREAD_WAKE, THREAD_SPIN), (CALL,)
    rows: list[tuple[str, str, float | None, tuple[Floor, ...]]] = [
        ("submit_burst", "submit 20,000 empty tasks and wait, 4 workers", 8, call),
        ("submit_round_trip", "submit one, wait for it", 3, wakes),
        ("map_burst", "map of 20,000", 10, call),
        ("as_completed_burst", "as_completed over 20,000", 8, call),
        ("thread_pool_apply", "ThreadPool.apply", 3, wakes),
        ("thread_pool_map", "ThreadPool.map(chunksize=1), 20,000", 8, call),
        ("thread_pool_imap_unordered", "ThreadPool.imap_unordered of 20,000", 8, call),
        ("thread_start_join", "Thread start + join", 5, (PTHREAD,)),
        ("event_ping_pong", "Event ping-pong", 2, wakes),
        ("queue_ping_pong", "Queue ping-pong", 2.5, wakes),
        ("simple_queue_ping_pong", "SimpleQueue ping-pong", 2, wakes),
        ("barrier", "Barrier of two threads", None, wakes),
        ("queue_put_get", "Queue put + get, uncontended", 6, call),
        ("queue_stream", "Queue, 4 threads put and 4 get, an item", None, call),
        ("hash_files", "SHA-256 of a file of 1 MiB, 2 workers", None, ()),
    ]
    found = [Row("threads", name, title, "threads", goal=goal, floors=floors) for name, title, goal, floors in rows]
    return [*found, Row("threads", "waiting_task", "memory of a waiting task", "threads", goal=2, unit="bytes")]


def _files() -> list[Row]:
    return [
        Row("files", "hash_1_core", "SHA-256 of a file of 1 MiB, of 1,000, one thread", "files", floors=(HASH_1,)),
        Row("files", "hash_2_cores", "the same, two threads", "files", floors=(HASH_1, HASH_2)),
        Row("files", "python_beside", "lateness of a Python thread beside it, 99th percentile", "files"),
    ]


def _pool() -> list[Row]:
    """C++ pools by themselves; the standard library's is a textbook pool of C++'s own parts (bench/native/pool)."""
    rows = {
        "empty": ("empty task, one thread submits", 400_000),
        "fork_join": ("a tree of tasks that submit their children", 400_000),
        "nested": ("a chain of tasks a worker, each submits the next", 400_000),
        "unbalanced": ("one task of 16 takes 160 us, the others 1 us", 20_000),
        "wake_p50": ("a sleeping worker begins a task, median", 2_000),
        "wake_p99": ("the same, 99th percentile", 2_000),
    }
    return [
        Row("pool", name, title, "pool", peers=POOLS, floors=(THREAD_WAKE,) if "wake" in name else (), count=count)
        for name, (title, count) in rows.items()
    ]


def _processes() -> list[Row]:
    wakes = (PROCESS_WAKE, PROCESS_SPIN)
    executors = ("loky", "pebble")
    rows: list[tuple[str, str, float | None, tuple[str, ...], tuple[Floor, ...]]] = [
        ("pool_round_trip", "Pool.apply", 8, ("mpire",), wakes),
        ("executor_round_trip", "ProcessPoolExecutor submit().result()", 8, executors, wakes),
        ("executor_burst", "ProcessPoolExecutor, 10,000 empty tasks", 30, executors, (CALL,)),
        ("pool_map_chunk_1", "Pool.map(chunksize=1), 20,000", 8, ("mpire",), (CALL,)),
        ("pool_map", "Pool.map, 100,000, chunks of the pool's choice", None, ("mpire", "joblib"), (CALL,)),
        ("start_fork", "Process start + join, fork", 1.5, (), (BARE_FORK, FORK)),
        ("start_forkserver", "Process start + join, forkserver", 30, (), (BARE_FORK, FORK)),
        ("start_spawn", "Process start + join, spawn", 50, (), (BARE_FORK, POSIX_SPAWN)),
        ("pool_cycle_spawn", "spawn Pool of 2: start, one task, stop", 10, (), (BARE_POOLS, BARE_FORK)),
        ("queue_1_1", "Queue, 1 process puts and 1 gets, an item", 5, ("faster_fifo",), ()),
        ("queue_4_4", "Queue, 4 put and 4 get, an item", 8, ("faster_fifo",), ()),
    ]
    found = [
        Row("processes", name, title, "processes", goal=goal, peers=peers, floors=floors)
        for name, title, goal, peers, floors in rows
    ]
    found += [
        Row("processes", "bytes_there_and_back", "64 MiB of bytes there and back", "processes",
            peers=executors, floors=(COPIES,), goal=10, unit="ms"),
        Row("processes", "array_there_and_back", "64 MiB NumPy array there and back", "processes",
            peers=executors, floors=(IN_PLACE,), goal=20, unit="ms", needs=("numpy",)),
    ]  # fmt: skip
    return found


def _loop() -> list[Row]:
    wakes = (THREAD_WAKE, THREAD_SPIN)
    rows: list[tuple[str, str, float | None, tuple[Floor, ...]]] = [
        ("sleep_0", "sleep(0)", 3, _least_loop("sleep_0")),
        ("gather", "gather of 20,000 coroutines, each", 1.5, _least_loop("gather")),
        ("call_soon", "call_soon, a turn each", 3, _least_loop("call_soon")),
        ("call_soon_3_arguments", "call_soon with three arguments", 2.8, _least_loop("call_soon_3_arguments")),
        ("call_soon_burst", "call_soon, 1,000 a turn", None, _least_loop("call_soon_burst")),
        ("create_task", "asyncio.create_task, 1,000 a turn", None, _least_loop("create_task")),
        ("call_later_cancel", "call_later + cancel, 50,000 pending", 4, (CALL,)),
        ("timers", "sleep of 20,000 tasks, each", None, (CALL,)),
        ("call_soon_threadsafe", "call_soon_threadsafe, burst", 2.2, (CALL,)),
        ("run_in_executor", "run_in_executor round trip", 2.5, wakes),
        ("subprocess_wait", "subprocess spawn + wait", 4.3, (POSIX_SPAWN,)),
        ("pipe_1k", "a pipe's transports, pieces of 1 KB", None, (CALL,)),
        ("pipe_64k", "a pipe's transports, pieces of 64 KB", None, (CALL,)),
        ("queue_ping_pong", "asyncio.Queue ping-pong", 2.3, _least_loop("queue_ping_pong")),
    ]
    return [
        Row("loop", name, title, "loop", peers=LOOPS, goal=goal, reference="uvloop", floors=floors)
        for name, title, goal, floors in rows
    ]


def _echo() -> list[Row]:
    loads = {"100 x 1 KB": (100, 1024, 60_000), "10 x 10 KB": (10, 10_240, 40_000), "10 x 100 KB": (10, 102_400, 8_000)}
    goals = {"protocols": (1.0, 1.0, 1.0), "streams": (1.5, 1.6, 2.6), "sock": (2.4, 2.4, 1.6)}
    rows = []
    for kind in ("protocols", "buffered", "streams", "sock"):
        for at, (load, (connections, size, messages)) in enumerate(loads.items()):
            echo = Echo(kind, connections, size, messages)
            goal = goals[kind][at] if kind in goals else None
            name = f"{kind}_{size // 1024}k"
            title = f"{'sock_*' if kind == 'sock' else kind}, {load}"
            rows.append(Row("echo", name, title, "echo", LOOPS, _echo_floor(echo), goal, "uvloop", "us CPU", echo))
    more = [
        ("UDP, 100 x 1 KB", Echo("udp", 100, 1024, 60_000)),
        ("Unix socket protocols, 100 x 1 KB", Echo("unix", 100, 1024, 60_000)),
        ("accept and close, 10 at a time", Echo("accept", 10, 1, 5_000)),
    ]
    rows += [
        Row("echo", echo.server, title, "echo", LOOPS, _echo_floor(echo), None, "uvloop", "us CPU", echo)
        for title, echo in more
    ]
    idle = Echo("idle", 10_000, 1, 1)
    return [*rows, Row("echo", "idle", "an idle connection, of 10,000", "echo", LOOPS, (), 2, "uvloop", "bytes", idle)]


def _http() -> list[Row]:
    """Servers that people run, answering "Hello, World!" over 100 connections."""
    rows = []
    for server in HTTP_SERVERS:
        echo = Echo(server, 100, len(b"Hello, World!"), 20_000)
        floor = _echo_floor(Echo("protocols", 100, 150, 60_000))  # about what the head and the body are
        rows.append(Row("http", server, f"{server}, plaintext", "http", LOOPS, floor, 1.15, "uvloop", "us CPU", echo,
                        needs=(server,)))  # fmt: skip
    echo = Echo("uvicorn_tls", 100, len(b"Hello, World!"), 20_000)
    rows.append(Row("http", "uvicorn_tls", "uvicorn, TLS", "http", LOOPS, (), 1.5, "uvloop", "us CPU", echo,
                    needs=("uvicorn",)))  # fmt: skip
    return rows


def _streams() -> list[Row]:
    """TLS and bulk streams, but for one row both ends in one process; rloop has no TLS."""

    def limits(scenario: str, *what: str) -> tuple[Floor, ...]:
        by_module = Floor("the ssl module's objects and epoll, driven from C", ("least_tls", scenario))
        return (by_module, Floor("OpenSSL and epoll in C", ("tls", *what)))

    copies = Floor("a C program that sends 240 KiB and reads them", ("stream_copy", str(240 * 1024), "2000"))
    rows: list[tuple[str, str, float | None, tuple[Floor, ...]]] = [
        ("tls_echo_1k", "TLS echo, 1 KB there and back", 1.5, limits("tls_echo_1k", "echo", "1024", "20000")),
        ("tls_echo_100k", "TLS echo, 100 KB there and back", 1.5, limits("tls_echo_100k", "echo", "102400", "2000")),
        ("tls_bulk", "a MiB through TLS streams", 1.5, limits("tls_bulk", "bulk", "1048576", "400")),
        ("bulk_stream", "a MiB through streams", 1.3, (copies,)),
        ("bulk_to_process", "a MiB to a reader in another process", None, ()),
    ]
    return [
        Row("streams", name, title, "tls", LOOPS, floors, goal, "uvloop", "us") for name, title, goal, floors in rows
    ]


def _aio() -> list[Row]:
    """Files from asyncio: triga.aio, aiofiles, and a thread of the default executor (the standard library's arm)."""
    titles = {
        "read_small": "whole files of 4 KiB, one after the other",
        "read_small_at_once": "whole files of 4 KiB, 50 at a time, each",
        "read_large": "whole files of 8 MiB",
    }
    return [Row("aio", name, title, "aio_files", peers=("aiofiles",)) for name, title in titles.items()]


def _programs() -> list[Row]:
    """Programs of pysamples/ from their start to their end, the interpreter's own included."""
    programs = {
        "article/thread_pool": "the article's thread pool",
        "article/process_pool": "the article's process pool",
        "crawler": "crawler, 400 pages",
        "batch_job": "batch job, 200 files",
    }
    return [Row("programs", name, title, "pysamples", unit="ms") for name, title in programs.items()]


def _echo_floor(echo: Echo) -> tuple[Floor, ...]:
    load = (echo.transport, str(echo.connections), str(echo.size), str(echo.messages))
    in_c = Floor("a C server on epoll", ("echo_server", *load))
    # Larger messages come in pieces: in what order they are read and sent decides more than what a task costs.
    if echo.server != "streams" or echo.size > 16 * 1024:
        return (in_c,)
    return (in_c, Floor("the same coroutine on asyncio's own tasks and epoll", ("least_streams", *load)))


ROWS: tuple[Row, ...] = (
    *(*_threads(), *_files(), *_pool(), *_processes()),
    *(*_loop(), *_echo(), *_http(), *_streams(), *_aio(), *_programs()),
)
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(row.group for row in ROWS))
