"""redis-py's asyncio client against a Redis of its own: ``redis_commands.py REDIS-SERVER``."""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import redis.asyncio


@contextmanager
def server():
    """A server on a Unix socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = str(Path(folder, "socket"))
        command = [sys.argv[1], "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield path
        finally:
            process.terminate()
            process.wait()


async def connect(path):
    client = redis.asyncio.Redis(unix_socket_path=path)
    for _ in range(600):
        try:
            await client.ping()
            return client
        except redis.exceptions.ConnectionError:
            await asyncio.sleep(0.05)
    raise TimeoutError("Redis did not start")


async def commands(client):
    for number in range(100):
        assert await client.set(f"key {number}", number)
    assert await asyncio.gather(*(client.get(f"key {n}") for n in range(100))) == [b"%d" % n for n in range(100)]
    large = b"line\r\n" * 200_000
    await client.set("large", large)
    assert await client.get("large") == large
    async with client.pipeline() as pipeline:
        for number in range(1000):
            pipeline.incrby("sum", number)
        assert (await pipeline.execute())[-1] == sum(range(1000))
    with suppress(TimeoutError):
        await asyncio.wait_for(client.blpop("nothing"), 0.1)
    assert await client.get("key 5") == b"5"


async def messages(client):
    async with client.pubsub() as subscriber:
        await subscriber.subscribe("news")
        while (await subscriber.get_message(timeout=5))["type"] != "subscribe":
            pass
        await client.publish("news", "hello")
        assert (await subscriber.get_message(timeout=5))["data"] == b"hello"


async def main(path):
    client = await connect(path)
    await commands(client)
    await messages(client)
    await client.aclose()


with server() as path:
    asyncio.run(main(path))
print("good")
