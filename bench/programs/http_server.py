"""A web server on the arm's loop: ``http_server.py uvicorn|uvicorn_tls|aiohttp ARM``; prints its port."""

import asyncio
import os
import socket
import sys
import tempfile

from arm_loop import serve
from tls import contexts

BODY = b"Hello, World!"


async def application(scope, receive, send):
    """The smallest ASGI application."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def start_uvicorn(listener, tls):
    """A task that serves."""
    import uvicorn

    config = uvicorn.Config(application, access_log=False, log_level="error", lifespan="off")
    config.load()
    if tls:
        with tempfile.TemporaryDirectory() as folder:
            config.ssl, _ = contexts(folder)
    return asyncio.get_running_loop().create_task(uvicorn.Server(config).serve(sockets=[listener]))


async def start_aiohttp(listener):
    """A site that serves."""
    from aiohttp import web

    async def answer(request):
        return web.Response(body=BODY, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.SockSite(runner, listener)
    await site.start()
    return site


async def start(kind):
    """Starts the server; returns what to keep alive, and its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    if kind == "aiohttp":
        kept = await start_aiohttp(listener)
    else:
        kept = start_uvicorn(listener, tls=kind == "uvicorn_tls")
    return kept, listener.getsockname()[1]


if __name__ == "__main__":
    kind, arm = sys.argv[1:3]
    serve(arm, lambda: start(kind))
    os._exit(0)
