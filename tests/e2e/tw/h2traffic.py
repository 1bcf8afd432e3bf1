# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Mixed HTTP/2 traffic: one stream after the other, many at once, many connections. The client's record is one oracle, the
server's log another."""
import collections
import threading

from . import h2
from .oracle import assert_answered, assert_counts, counts

Ask = collections.namedtuple("Ask", "method target status body headers", defaults=(None, ()))


def get(target, status=200):
    return Ask("GET", target, status)


def post(target, size, status=200):
    return Ask("POST", target, status, b"PRI * HTTP/2.0\r\n\r\n" * (size // 18) + b"x" * (size % 18))


class Mixed:
    """
    asks: the requests of a round. run() makes them one after the other on a connection that is kept, all at once on one, on
    connections of their own, and on `parallel` connections with all of them at once on each.
    """

    def __init__(self, port, asks, tls=None, parallel=8, rounds=3):
        self.port, self.asks, self.tls, self.parallel, self.rounds = port, asks, tls, parallel, rounds
        self.done = []  # (method, target, status)
        self.connections = 0
        self._lock = threading.Lock()

    def connect(self, **more):
        with self._lock:
            self.connections += 1
        return h2.Client(self.port, tls=self.tls, **more)

    def note(self, asks):
        with self._lock:
            self.done += [(a.method, a.target, a.status) for a in asks]

    @staticmethod
    def ask(c, a):
        return c.ask(a.method, a.target, a.body, a.headers)

    def _check(self, asks, streams):
        for a, s in zip(asks, streams):
            assert s.ended and s.status == a.status, f"{a.method} {a.target} got {s.status}, error {s.error}, not {a.status}"
        self.note(asks)

    def kept(self, asks, **more):
        with self.connect(**more) as c:
            for a in asks:
                self._check([a], [c.wait(self.ask(c, a))])

    def at_once(self, asks, **more):
        with self.connect(**more) as c:
            self._check(asks, [c.wait(s) for s in [self.ask(c, a) for a in asks]])

    def many(self):
        """Every connection makes every request, each in an order of its own; all are open before the first request."""
        barrier = threading.Barrier(self.parallel, timeout=30)
        failures = []

        def work(i):
            try:
                asks = [self.asks[(i + k) % len(self.asks)] for k in range(len(self.asks))]
                with self.connect() as c:
                    c.settle()
                    barrier.wait()
                    for _ in range(self.rounds):
                        self._check(asks, [c.wait(s) for s in [self.ask(c, a) for a in asks]])
            except Exception as e:
                barrier.abort()
                failures.append(e)

        threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(self.parallel)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if failures:
            raise next((e for e in failures if not isinstance(e, threading.BrokenBarrierError)), failures[0])

    def run(self):
        self.kept(self.asks * 2)
        self.at_once(self.asks * 2)
        for a in self.asks:
            self.kept([a])
        if self.parallel:
            self.many()
        return self

    def agrees(self, server):
        """The server's log says what the client saw."""
        assert_counts(counts(server.exchanges(len(self.done))), counts(self.done))
        return self

    def check(self, document, arm="baseline"):
        """The document says what the client saw, and all of it was read."""
        assert_answered(document, counts(self.done), arm)


def assert_h2(document, connections=None, joined=0, requests=None):
    """Every connection was HTTP/2, and nothing of any was lost, unknown or shed."""
    c = document["coverage"]
    of = c["http2"]
    assert c["opaque_tls"] == c["desynchronised"] == c["not_http"] == 0, document
    assert of["unknown"] == of["desynchronised"] == of["malformed"] == of["shed"] == 0, document
    assert of["joined"] == joined and c["complete"] is True, document
    if connections is not None:
        assert of["connections"] == connections, f"{of} of {connections}: {document}"
    if requests is not None:
        assert of["requests"] == requests, f"{of} of {requests}: {document}"
