# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Clients on connections they keep, each with its own record of what became of every request: the oracle of hand-overs.

What ends without its answer is told apart by what TCP delivered:
  unanswered  the server's FIN, and not a byte of the answer
  truncated   the server's FIN inside the answer
  reset       an RST on a connection that was open: the server threw the request away
  late        FIN (over TLS: close_notify), then RST: the connection had been closed before the request reached it, as
              any client that keeps connections must expect; no request of the server's
"""
import collections
import contextlib
import select
import socket
import threading

from . import tls
from .client import request
from .wait import until


class Record:
    def __init__(self):
        self.answered = collections.Counter()  # by target
        self.cut = collections.Counter()       # by (target, what)
        self.refused = 0
        self.connections = 0
        self.lock = threading.Lock()

    def note(self, target, what):
        with self.lock:
            if what == "answered":
                self.answered[target] += 1
            else:
                self.cut[target, what] += 1

    def cuts(self):
        """what -> requests, without those that came late."""
        out = collections.Counter()
        for (_, what), n in self.cut.items():
            if what != "late":
                out[what] += n
        return dict(out)

    def late(self):
        return sum(n for (_, what), n in self.cut.items() if what == "late")


def connect(port, context=None):
    """context: of tls.context(), for TLS."""
    if context:
        return tls.connect(port, context)
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def is_closed(sock):
    """A connection on which something waits to be read before anything was asked has been closed."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLRDHUP)
    return bool(poll.poll(0))


def ended_well(sock):
    """The server's FIN has come: and no RST behind it? Over TLS its close_notify comes before either."""
    if isinstance(sock, tls.Socket):
        return sock.end()
    return not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def receive(sock):
    """("answered", closes) for one whole answer with a Content-Length, or what became of it."""
    data, want, closes = b"", None, False
    while want is None or len(data) < want:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            return "reset", True
        except BrokenPipeError:
            return "late", True
        if not more:
            if data:
                return "truncated", True
            return "unanswered" if ended_well(sock) else "late", True
        data += more
        if want is None and b"\r\n\r\n" in data:
            head = data.split(b"\r\n\r\n")[0].lower()
            length = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
            want = len(head) + 4 + int(length[0].split(b":")[1])
            closes = b"\r\nconnection: close" in head
    assert len(data) == want, f"more than an answer: {data[want:]!r}"
    return "answered", closes


class Held(threading.Thread):
    """One request that is in flight for as long as the server holds it."""

    def __init__(self, port, target, record):
        super().__init__(daemon=True)
        self.sock, self.target, self.record = connect(port), target, record
        self.sock.sendall(request("GET", target))
        self.start()

    def run(self):
        what, _ = receive(self.sock)
        self.record.note(self.target, what)
        self.sock.close()


class Load:
    """n connections that ask for target again and again, and open another when one is closed."""

    def __init__(self, port, n=4, target="/ok", pause=0.002, context=None):
        self.port, self.target, self.pause, self.context = port, target, pause, context
        self.record = Record()
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._idle = {}  # of each thread, while it has no request in flight: its connection
        self._failure = None
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(n)]
        for t in self._threads:
            t.start()

    def _work(self):
        sock = None
        try:
            while not self._stop.wait(self.pause):
                if not self._go.is_set():
                    self._idle[threading.get_ident()] = sock
                    self._go.wait()
                sock = self._ask(sock)
        except Exception as failure:  # handed to the thread that asks
            self._failure = failure
        if sock:
            sock.close()

    def _connect(self):
        try:
            sock = connect(self.port, self.context)
        except ConnectionError:
            self.record.refused += 1
            return None
        self.record.connections += 1
        return sock

    def _ask(self, sock):
        if sock and is_closed(sock):
            sock.close()
            sock = None
        sock = sock or self._connect()
        if not sock:
            return None
        try:
            sock.sendall(request("GET", self.target))
        except ConnectionError:  # it was closed a moment ago, and no byte has left
            sock.close()
            return None
        what, closes = receive(sock)
        self.record.note(self.target, what)
        if closes:
            sock.close()
            return None
        return sock

    @contextlib.contextmanager
    def between_requests(self):
        """No request is on its way inside; goes on when the server has closed every connection."""
        self._idle.clear()
        self._go.clear()
        until(lambda: self._failure or len(self._idle) == len(self._threads), "the load to pause", 30)
        try:
            yield
            until(lambda: all(s is None or is_closed(s) for s in self._idle.values()), "the server to close", 20)
        finally:
            self._go.set()

    def more(self, n=50):
        """Waits until n more requests have been answered."""
        before = self.record.answered.total()
        until(lambda: self._failure or self.record.answered.total() >= before + n, f"{n} more answers", 30)
        if self._failure:
            raise self._failure

    def stop(self):
        """Ends it, every request with its answer, and returns the record."""
        self._stop.set()
        for t in self._threads:
            t.join(30)
            assert not t.is_alive(), "a request has neither been answered nor cut"
        if self._failure:
            raise self._failure
        return self.record
