"""asyncpg against a PostgreSQL of its own: ``asyncpg_queries.py FOLDER-OF-POSTGRES``."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import asyncpg

PROGRAMS = Path(sys.argv[1])


@contextmanager
def postgresql():
    """A server on a Unix socket; PostgreSQL refuses to run as root, so nobody runs it then."""
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
    options = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = Path(folder, "data")
        initdb = [PROGRAMS / "initdb", "-D", data, "-U", "someone", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **options)
        server = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", data, "-k", folder, "-h", "", "-F", "-c", "shared_buffers=8MB"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **options,
        )  # fmt: skip
        try:
            yield folder
        finally:
            server.terminate()
            server.wait()
            shutil.rmtree(data, ignore_errors=True)


async def connect(folder):
    for _ in range(600):
        try:
            return await asyncpg.connect(host=folder, user="someone", database="postgres")
        except (OSError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.05)
    raise TimeoutError("PostgreSQL did not start")


async def queries(connection):
    await connection.execute("CREATE TABLE things(id int PRIMARY KEY, name text, data bytea)")
    rows = [(number, f"thing {number}", bytes([number % 256]) * 1000) for number in range(1000)]
    await connection.executemany("INSERT INTO things VALUES ($1, $2, $3)", rows)
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM things ORDER BY id")] == rows
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM things")
            raise KeyError("roll back")
    except KeyError:
        pass
    assert await connection.fetchval("SELECT count(*) FROM things") == 1000
    async with connection.transaction():
        counted = [row["id"] async for row in connection.cursor("SELECT id FROM things ORDER BY id", prefetch=50)]
    assert counted == list(range(1000))
    assert await connection.copy_records_to_table("things", records=[(5000, "copied", b"z" * 2_000_000)])
    assert await connection.fetchval("SELECT data FROM things WHERE id = 5000") == b"z" * 2_000_000


async def timeouts_and_notices(connection, other):
    try:
        await connection.fetch("SELECT pg_sleep(60)", timeout=0.1)
    except TimeoutError:
        pass
    else:
        raise AssertionError("the query was not cancelled")
    heard = asyncio.get_running_loop().create_future()
    await other.add_listener("news", lambda *told: heard.set_result(told[-1]))
    await connection.execute("NOTIFY news, 'hello'")
    assert await heard == "hello"


async def main(folder):
    connection, other = await connect(folder), await connect(folder)
    await queries(connection)
    await timeouts_and_notices(connection, other)
    async with asyncpg.create_pool(host=folder, user="someone", database="postgres", min_size=4, max_size=4) as pool:
        assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(200))) == list(range(200))
    await connection.close()
    await other.close()


with postgresql() as folder:
    asyncio.run(main(folder))
print("good")
