# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Mixed traffic: kept and single connections, pipelines, many connections at once. The client's record of it is one oracle,
the server's log another.
"""
import collections
import threading

from .client import Client, request
from .oracle import assert_answered, assert_counts, counts
from .parallel import in_step


class Ask(collections.namedtuple("Ask", "method target status body headers", defaults=(b"", ()))):
    """A request, and the status that it must get."""

    def on(self, client):
        got = client.ask(self.method, self.target, self.body, self.headers)
        assert got.status == self.status, f"{self.method} {self.target} was answered {got.status}, not {self.status}"
        return got


def get(target, status=200):
    return Ask("GET", target, status)


def post(target, size, status=200):
    # With a length of nought as well: the body is there, and empty.
    return Ask("POST", target, status, b"GET /evil HTTP/1.1\r\n\r\n" * (size // 22) + b"x" * (size % 22),
               () if size else ("Content-Length: 0",))


def chunked_post(target, parts, status=200):
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
    return Ask("POST", target, status, body, ("Transfer-Encoding: chunked",))


class Traffic:
    """asks: the requests of a round, which are kept with their statuses when they have been answered as they must be."""

    def __init__(self, port, asks, tls, parallel, rounds):
        self.port, self.asks, self.tls, self.parallel, self.rounds = port, asks, tls, parallel, rounds
        self.done = []  # (method, target, status)
        self.connections = 0
        self._lock = threading.Lock()

    def _connected(self, n=1):
        with self._lock:
            self.connections += n

    def _note(self, asks):
        with self._lock:
            self.done += [(a.method, a.target, a.status) for a in asks]

    def _turned(self, i):
        """The asks in an order that is this connection's own."""
        return self.asks[i % len(self.asks):] + self.asks[:i % len(self.asks)]

    def agrees(self, server):
        """The server's log says what the client saw."""
        assert_counts(counts(server.exchanges(len(self.done))), counts(self.done))
        return self

    def check(self, document, arm="baseline"):
        """The document says what the client saw."""
        assert_answered(document, counts(self.done), arm)


class Mixed(Traffic):
    """
    run() makes the asks one after the other on a connection that is kept and on connections of their own, those without a
    body in pipelines as well, and on `parallel` connections at once. closing: statuses after which this server closes.
    """

    def __init__(self, port, asks, tls=True, parallel=32, rounds=2, closing=(), host="127.0.0.1"):
        super().__init__(port, asks, tls, parallel, rounds)
        self.host, self.closing = host, closing

    def _connection(self):
        self._connected()
        return Client(self.port, self.host, tls=self.tls)

    def _ask(self, c, asks):
        """One after the other; on another connection when the server says that it closes this one."""
        for i, a in enumerate(asks):
            if a.on(c).headers.get("connection", "").lower() == "close" and i < len(asks) - 1:
                c.close()
                c = self._connection()
        self._note(asks)
        c.close()

    def kept(self, asks):
        self._ask(self._connection(), asks)

    def pipeline(self, asks):
        """All in one write and one record, then all in one write and a record each."""
        whole = [request(a.method, a.target, a.body, a.headers) for a in asks]
        with self._connection() as c:
            for pieces in ([b"".join(whole)], whole):
                if self.tls:
                    c.sock.sendall(*pieces)
                else:
                    c.sock.sendall(b"".join(pieces))
                for a in asks:
                    assert c.answer(a.method).status == a.status
        self._note(asks * 2)

    def at_once(self):
        """Every connection makes every request, each in an order of its own; all are open before the first request."""

        def work(i, ready):
            c = self._connection()
            ready()
            self._ask(c, self._turned(i) * self.rounds)

        in_step(self.parallel, work)

    def run(self):
        self.kept(self.asks * 2)
        for a in self.asks:
            self.kept([a])
        self.pipeline([a for a in self.asks if not a.body and a.status not in self.closing])
        if self.parallel:
            self.at_once()
        return self

    def also(self, a, connections=0):
        """A request that is made elsewhere."""
        self._note([a])
        self._connected(connections)
        return a

    def check(self, document, arm="baseline"):
        """All of it was read, too."""
        super().check(document, arm)
        assert_all_read(document, self.connections)


def assert_all_read(document, connections=None):
    """Every connection was understood, and none was opaque."""
    c = document["coverage"]
    assert c["opaque_tls"] == c["desynchronised"] == c["not_http"] == 0, document
    assert c["decoded"] == c["connections"] and c["complete"] is True, document
    assert connections is None or c["connections"] == connections, document
