"""aiohttp's server and its client: requests, a large upload, a WebSocket, TLS, on one loop."""

import asyncio
import ssl
import subprocess

import aiohttp
from aiohttp import web


async def upload(request):
    body = await request.read()
    return web.json_response({"size": len(body), "path": request.path})


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(20):
        await response.write(b"y" * 50_000)
    return response


async def chat(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


def contexts():
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain("certificate.pem", "key.pem")
    return server, ssl.create_default_context(cafile="certificate.pem")


async def use(session, address):
    async def post(number):
        async with session.post(f"{address}/upload", data=b"x" * 50_000) as response:
            assert await response.json() == {"size": 50_000, "path": "/upload"}, number

    await asyncio.gather(*map(post, range(20)))
    async with session.get(f"{address}/stream") as response:
        assert await response.read() == b"y" * 1_000_000
    async with session.ws_connect(f"{address}/chat") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "HELLO"


async def main():
    application = web.Application(client_max_size=10**7)
    application.add_routes([web.post("/upload", upload), web.get("/stream", stream), web.get("/chat", chat)])
    runner = web.AppRunner(application)
    await runner.setup()
    server, client = contexts()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
    plain, secure = (address[1] for address in runner.addresses)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as session:
        await use(session, f"http://127.0.0.1:{plain}")
        await use(session, f"https://localhost:{secure}")
    await runner.cleanup()


asyncio.run(main())
print("good")
