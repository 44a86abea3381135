"""A floor under every loop's streams: echo_server.py's coroutine on asyncio's own tasks and futures, and nothing else.

``least_streams.py``: prints its port, serves until stdin closes. The connections are those of
least_streams_native.cpp, the loop that of least_loop.py; what each leaves out it says itself.
"""

import asyncio
import os
import socket
from asyncio import events

from echo_server import echo_stream
from least_loop import LeastLoop
from least_streams_native import serve

if __name__ == "__main__":
    loop = LeastLoop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    tasks = []
    events._set_running_loop(loop)
    serve(loop, listener.fileno(), lambda stream: tasks.append(asyncio.Task(echo_stream(stream, stream), loop=loop)))
    os._exit(0)
