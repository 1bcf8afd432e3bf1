# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients of an observed server that never stop asking, and keep their own record: whether the observer harms anybody."""
import threading
import time

from . import h2
from .client import Client
from .wait import until

# What a request may take, s. Not a measure of latency, which is the bench's: on a busy machine a client waits for its own
# turn. A SYN that is lost is sent again after a second, though, and whoever waits for the observer waits for as long as it
# is stopped: either shows.
MOST = 1.0


class Witness:
    """
    n clients, each on a connection that it keeps for `turns` requests; tls, h2: what is spoken. Whatever is not answered
    with 200 is a failure.
    """

    def __init__(self, port, n=2, target="/ok", tls=None, http2=False, turns=50, pause=0.001, host="127.0.0.1"):
        self.port, self.target, self.tls, self.http2, self.turns, self.host = port, target, tls, http2, turns, host
        self.pause = pause
        self.answered = 0
        self.slowest = 0.0
        self.failures = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(n)]
        for t in self._threads:
            t.start()

    def _connect(self):
        if self.http2:
            return h2.Client(self.port, self.host, tls=h2.context() if self.tls else None)
        return Client(self.port, self.host, tls=self.tls)

    def _ask(self, c):
        if self.http2:
            s = c.get(self.target)
            return s.status if s.ended else f"no answer: {s.error} {c.end}"
        return c.ask("GET", self.target).status

    def _note(self, got, seconds):
        with self._lock:
            self.answered += got == 200
            self.slowest = max(self.slowest, seconds)
            if got != 200:
                self.failures.append(got)

    def _connection(self):
        """Asks as often as a connection is kept. The first request's time is with what it takes to connect."""
        begin = time.monotonic()
        with self._connect() as c:
            for _ in range(self.turns):
                got = self._ask(c)
                self._note(got, time.monotonic() - begin)
                if self._over.wait(self.pause):
                    return
                begin = time.monotonic()

    def _work(self):
        while not self._over.is_set():
            try:
                self._connection()
            except (OSError, AssertionError) as failure:
                self._note(repr(failure), 0)
                self._over.wait(0.01)

    def more(self, n=50, seconds=30):
        """Waits until n more requests have been answered."""
        before = self.answered
        until(lambda: self.failures or self.answered >= before + n, f"{n} more answers", seconds)

    def stop(self):
        self._over.set()
        for t in self._threads:
            t.join(30)
            assert not t.is_alive(), "a request has neither been answered nor cut"

    def unharmed(self):
        """Ends it: every request was answered well, and none took too long. Returns how many there were."""
        self.stop()
        assert not self.failures, f"{len(self.failures)} of {self.answered} failed: {self.failures[:5]}"
        assert self.answered, "nothing was asked: the test shows nothing"
        assert self.slowest < MOST, f"one of {self.answered} requests took {self.slowest:.3f} s"
        return self.answered
