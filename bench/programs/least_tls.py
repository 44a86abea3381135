"""A floor under TLS on every event loop that goes by the ssl module: its objects, called straight from C.

``least_tls.py SCENARIO SCALE``, the scenarios of tls.py.
"""

import contextlib
import socket
import ssl
import tempfile

from least_tls_pump import run
from meter import main, table
from tls import contexts


class End:
    """One side of a connection."""

    def __init__(self, sock, context, **options):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **options)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shake_hands(self):
        """Whether it is done."""
        with contextlib.suppress(BlockingIOError):
            self.incoming.write(self.sock.recv(2**16))
        done = True
        try:
            self.tls.do_handshake()
            self.tls.read(1)  # what follows a handshake
        except ssl.SSLWantReadError:
            done = self.tls.version() is not None
        if self.outgoing.pending:
            self.sock.send(self.outgoing.read())
        return done

    def parts(self):
        """What run() takes."""
        inner = self.tls._sslobj  # ssl.SSLObject adds a call of a Python function
        return (inner.read, inner.write, self.incoming.write, self.outgoing.read, self.incoming, self.sock.fileno())


def messages(meter, size, count, echoes):
    """Passes messages of one connection, and back."""
    with tempfile.TemporaryDirectory() as folder:
        for_server, for_client = contexts(folder)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as near,
        listener.accept()[0] as far,
    ):
        client = End(near, for_client, server_hostname="localhost")
        server = End(far, for_server, server_side=True)
        settled = 0
        while settled < 10:  # the server's tickets arrive after its handshake
            settled = settled + 1 if all([client.shake_hands(), server.shake_hands()]) else 0
        message = b"x" * size
        run(client.parts(), server.parts(), message, echoes, max(2, meter.n(count) // 10))
        with meter(meter.n(count)):
            run(client.parts(), server.parts(), message, echoes, meter.n(count))


def tls_echo_1k(meter):
    """1 KB there and back."""
    messages(meter, 1024, 20_000, echoes=True)


def tls_echo_100k(meter):
    """100 KB there and back."""
    messages(meter, 102_400, 2_000, echoes=True)


def tls_bulk(meter):
    """A mebibyte there."""
    messages(meter, 2**20, 400, echoes=False)


if __name__ == "__main__":
    main(table(tls_echo_1k, tls_echo_100k, tls_bulk))
