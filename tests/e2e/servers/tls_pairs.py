# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Two TLS connections in one thread, each request read after the other connection has been read from as well, so that the
socket that the thread has read last is the wrong one.
  --how memory   takes what has come on both sockets, and only then has the library look at either
  --how peek     takes a part of the first request, looks at the second one without taking it, takes the rest
Speaks with libssl itself: the ssl module has no SSL_peek. Answers every request with 200; ends with the connections.
"""
import argparse
import ctypes
import select
import socket
import ssl

args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args.add_argument("--log", required=True)
args.add_argument("--tls", required=True)
args.add_argument("--how", required=True, choices=["memory", "peek"])
args = args.parse_args()

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def accept(listener):
    """The next connection on which something is said."""
    while True:
        sock = listener.accept()[0]
        try:
            if sock.recv(1, socket.MSG_PEEK):
                return sock
        except ConnectionError:
            pass
        sock.close()


class Memory:
    """A connection whose bytes the program moves itself."""

    def __init__(self, sock, context):
        self.sock, self.came, self.goes = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes, server_side=True)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.receive()
        self.flush()

    def flush(self):
        self.sock.sendall(self.goes.read())

    def receive(self):
        data = self.sock.recv(65536)
        self.came.write(data)
        return len(data)

    def request(self):
        try:
            return self.tls.read(65536)
        except ssl.SSLWantReadError:
            return None

    def answer(self):
        self.tls.write(ANSWER)
        self.flush()


def note(request, log):
    log.write(f"{request.split()[0].decode()} {request.split()[1].decode()} 200\n")
    log.flush()


def serve(connection, request, log):
    connection.answer()
    note(request, log)


def memory(listener, log):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.tls)
    both = [Memory(accept(listener), context) for _ in range(2)]
    for c in both:  # the first one by itself: that shows which socket is whose
        while not (r := c.request()):
            c.receive()
        serve(c, r, log)
    while True:
        for c in both:
            select.select([c.sock], [], [])
        if not all([c.receive() for c in both]):
            return
        for c in both:
            if r := c.request():
                serve(c, r, log)


class Library:
    """libssl as it is: what is called, and with what."""

    def __init__(self):
        self.so = ctypes.CDLL("libssl.so.3")
        for name, result in [("TLS_server_method", ctypes.c_void_p), ("SSL_CTX_new", ctypes.c_void_p),
                             ("SSL_new", ctypes.c_void_p)]:
            getattr(self.so, name).restype = result
        self.context = ctypes.c_void_p(self.so.SSL_CTX_new(ctypes.c_void_p(self.so.TLS_server_method())))
        pem = args.tls.encode()
        assert self.so.SSL_CTX_use_certificate_chain_file(self.context, pem) == 1
        assert self.so.SSL_CTX_use_PrivateKey_file(self.context, pem, 1) == 1

    def accept(self, sock):
        s = ctypes.c_void_p(self.so.SSL_new(self.context))
        self.so.SSL_set_fd(s, sock.fileno())
        assert self.so.SSL_accept(s) == 1
        return s

    def take(self, call, s, n):
        room = ctypes.create_string_buffer(n)
        got = getattr(self.so, call)(s, room, n)
        return room.raw[:max(got, 0)]


def peek(listener, log):
    library = Library()
    socks, both = [], []
    for _ in range(2):
        socks.append(accept(listener))
        both.append(library.accept(socks[-1]))
    first, second = both
    while begin := library.take("SSL_read", first, 10):
        seen = library.take("SSL_peek", second, 20)
        requests = [begin + library.take("SSL_read", first, 4096), library.take("SSL_read", second, 4096)]
        assert requests[1].startswith(seen)
        for s, r in zip((first, second), requests):
            library.so.SSL_write(s, ANSWER, len(ANSWER))
            note(r, log)


listener = socket.create_server(("127.0.0.1", args.port))
with open(args.log, "a", encoding="ascii") as log:
    {"memory": memory, "peek": peek}[args.how](listener, log)
