"""Crawls a web site of a few hundred pages, which it serves to itself on loopback.

An event loop fetches over keep-alive connections, following the links it finds; a pool of threads parses the pages and
saves them to files; the server is a second event loop in a thread of its own. Standard library only.

    python crawler.py [--pages 400] [--connections 16] [--folder DIR]
"""

import argparse
import asyncio
import hashlib
import random
import re
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

TIMEOUT = 30  # seconds for one page


def make_site(pages, seed=7):
    """Path -> page: a tree of links with some more across it, and a few kilobytes of text each."""
    choose = random.Random(seed)
    words = ["".join(choose.choices("abcdefghijklmnopqrstuvwxyz", k=choose.randint(3, 9))) for _ in range(500)]
    site = {}
    for number in range(pages):
        children = [child for child in range(4 * number + 1, 4 * number + 5) if child < pages]
        links = children + [choose.randrange(pages) for _ in range(5)]
        anchors = "".join(f'<li><a href="/page/{link}">page {link}</a></li>\n' for link in links)
        text = " ".join(choose.choices(words, k=600))
        body = f"<html><title>Page {number}</title><body><p>{text}</p>\n<ul>{anchors}</ul></body></html>\n"
        site[f"/page/{number}"] = body.encode()
    return site


class Server:
    """The site over HTTP/1.1, on an event loop in a thread."""

    def __init__(self, site):
        self.site = site
        self.requests = 0
        self.started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), name="server")

    async def serve(self):
        self.loop = asyncio.get_running_loop()
        self.stopped = asyncio.Event()
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.started.set()
        async with server:
            await self.stopped.wait()

    async def answer(self, reader, writer):
        """Answers the requests of one connection until the client closes it."""
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                path = request.split(b" ", 2)[1].decode()
                body = self.site.get(path)
                status = "200 OK" if body is not None else "404 Not Found"
                body = body or b""
                head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def __enter__(self):
        self.thread.start()
        self.started.wait()
        return self

    def __exit__(self, *exception):
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join()


class Connection:
    """A keep-alive connection to the server."""

    async def open(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def get(self, path):
        """The body of a page; raises ValueError for any answer but 200."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"{path}: {head.splitlines()[0].decode()}")
        length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
        return await self.reader.readexactly(length)

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()


class LinkParser(HTMLParser):
    """Collects the targets of a page's links and counts its words."""

    def __init__(self):
        super().__init__()
        self.links = []
        self.words = 0

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.links.append(dict(attributes)["href"])

    def handle_data(self, data):
        self.words += len(data.split())


def parse_and_save(folder, path, body):
    """Runs in a pool thread: saves the page, returns its links and its number of words."""
    parser = LinkParser()
    parser.feed(body.decode())
    (folder / (path.strip("/").replace("/", "-") + ".html")).write_bytes(body)
    return parser.links, parser.words


class Crawl:
    """One crawl: what is still to be fetched, and what was found."""

    def __init__(self, port, folder, executor):
        self.port = port
        self.folder = folder
        self.executor = executor
        self.seen = set()
        self.words = 0
        self.pending = asyncio.Queue()

    def offer(self, path):
        if path not in self.seen:
            self.seen.add(path)
            self.pending.put_nowait(path)

    async def work(self):
        """Fetches pending pages over one connection until cancelled."""
        loop = asyncio.get_running_loop()
        connection = await Connection().open(self.port)
        try:
            while True:
                path = await self.pending.get()
                async with asyncio.timeout(TIMEOUT):
                    body = await connection.get(path)
                links, words = await loop.run_in_executor(self.executor, parse_and_save, self.folder, path, body)
                self.words += words
                for link in links:
                    self.offer(link)
                self.pending.task_done()
        finally:
            await connection.close()

    async def run(self, start, connections):
        self.offer(start)
        workers = [asyncio.create_task(self.work()) for _ in range(connections)]
        done = asyncio.create_task(self.pending.join())
        # A worker never ends by itself: if one does, it failed, and so does the crawl.
        finished, _ = await asyncio.wait([done, *workers], return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for task in finished:
            task.result()


async def crawl(port, folder, connections):
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="parser") as executor:
        task = Crawl(port, folder, executor)
        await task.run("/page/0", connections)
        return task


def check(site, result, folder):
    """The number of pages whose saved file is not the page, or that were never found."""
    assert result.seen == set(site), f"{len(result.seen)} pages found of {len(site)}"
    wanted = {path.strip("/").replace("/", "-") + ".html": hashlib.sha256(body).digest() for path, body in site.items()}
    return sum(hashlib.sha256((folder / name).read_bytes()).digest() != digest for name, digest in wanted.items())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="where the pages are saved; by default a temporary folder")
    options = parser.parse_args()
    site = make_site(options.pages)
    with tempfile.TemporaryDirectory() as temporary, Server(site) as server:
        folder = options.folder or Path(temporary)
        start, cpu = time.perf_counter(), time.process_time()
        result = asyncio.run(crawl(server.port, folder, options.connections))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        wrong = check(site, result, folder)
    size = sum(map(len, site.values()))
    print(f"crawled {len(result.seen)} pages, {size} bytes, {result.words} words, {wrong} wrong")
    print(f"timing: {seconds:.3f} s, {cpu:.3f} s of CPU, {len(result.seen) / seconds:.0f} pages/s", file=sys.stderr)
    return 1 if wrong or server.requests != len(site) else 0


if __name__ == "__main__":
    sys.exit(main())
