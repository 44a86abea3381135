"""uvicorn serves an ASGI application with a lifespan to clients on the same loop."""

import asyncio
import json

import uvicorn

LARGE = b"0123456789" * 100_000
seen = []


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            seen.append(message["type"])
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            break
    if scope["path"] == "/large":
        answer = [LARGE[:300_000], LARGE[300_000:]]
    else:
        answer = [json.dumps({"method": scope["method"], "path": scope["path"], "size": len(body)}).encode()]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for at, piece in enumerate(answer):
        await send({"type": "http.response.body", "body": piece, "more_body": at + 1 < len(answer)})


async def ask(reader, writer, method, path, body=b""):
    """One request on a connection that is kept; returns the answer's body."""
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    while await reader.readline() != b"\r\n":
        pass
    answer = b""
    while size := int(await reader.readline(), 16):
        answer += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readline() == b"\r\n"
    return answer


async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(100):
        answer = json.loads(await ask(reader, writer, "POST", f"/{number}", b"x" * number * 100))
        assert answer == {"method": "POST", "path": f"/{number}", "size": number * 100}
    assert await ask(reader, writer, "GET", "/large") == LARGE
    writer.close()
    await writer.wait_closed()


async def main():
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="warning", lifespan="on"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    await asyncio.gather(*(client(port) for _ in range(5)))
    server.should_exit = True
    await serving
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


asyncio.run(main())
print("good")
