# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Mixed HTTP/2 traffic: one stream after the other, many at once, many connections. The client's record is one oracle, the
server's log another."""
import collections

from . import h2
from .parallel import in_step
from .traffic import Traffic

Ask = collections.namedtuple("Ask", "method target status body headers", defaults=(None, ()))


def get(target, status=200):
    return Ask("GET", target, status)


def post(target, size, status=200):
    return Ask("POST", target, status, b"PRI * HTTP/2.0\r\n\r\n" * (size // 18) + b"x" * (size % 18))


class Mixed(Traffic):
    """
    run() makes the asks one after the other on a connection that is kept, all at once on one, on connections of their own,
    and on `parallel` connections with all of them at once on each.
    """

    def __init__(self, port, asks, tls=None, parallel=8, rounds=3):
        super().__init__(port, asks, tls, parallel, rounds)

    def connect(self, **more):
        self._connected()
        return h2.Client(self.port, tls=self.tls, **more)

    @staticmethod
    def ask(c, a):
        return c.ask(a.method, a.target, a.body, a.headers)

    def _check(self, asks, streams):
        for a, s in zip(asks, streams):
            assert s.ended and s.status == a.status, f"{a.method} {a.target} got {s.status}, error {s.error}, not {a.status}"
        self._note(asks)

    def kept(self, asks, **more):
        with self.connect(**more) as c:
            for a in asks:
                self._check([a], [c.wait(self.ask(c, a))])

    def at_once(self, asks, **more):
        with self.connect(**more) as c:
            self._all(c, asks)

    def _all(self, c, asks):
        """At once on this connection."""
        self._check(asks, [c.wait(s) for s in [self.ask(c, a) for a in asks]])

    def many(self):
        """Every connection makes every request, each in an order of its own; all are open before the first request."""

        def work(i, ready):
            with self.connect() as c:
                c.settle()
                ready()
                for _ in range(self.rounds):
                    self._all(c, self._turned(i))

        in_step(self.parallel, work)

    def run(self):
        self.kept(self.asks * 2)
        self.at_once(self.asks * 2)
        for a in self.asks:
            self.kept([a])
        if self.parallel:
            self.many()
        return self


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
