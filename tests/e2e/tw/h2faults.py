# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The fault bench of HTTP/2: clients that misbehave against servers/h2_faulty.py and keep a record of what they saw; the
server keeps its own. Outcomes are texts, as in tw/faults.py, one for each stream.
"""
import collections
import socket

from . import h2
from .faults import FaultyServer, Way, unread
from .wait import pause, until

BIG = 4_000_000


class Faulty(FaultyServer):
    """servers/h2_faulty.py."""

    program = "h2_faulty"

    def lines(self):
        return [row.split(" ", 4) for row in self.rows()]

    def await_read(self, target, n=1):
        until(lambda: sum(v[0] == target and v[4] == "asked" for v in self.lines()) >= n, f"{n} times {target} to be read")

    def asked(self, target):
        """When the requests came, in seconds of CLOCK_MONOTONIC."""
        return [float(v[2]) for v in self.lines() if v[0] == target and v[4] == "asked"]

    def record(self, n, method=lambda target: "GET"):
        """Endpoint -> Counter of outcomes, of n streams, as the server saw them."""
        until(lambda: sum(v[4] != "asked" for v in self.lines()) >= n,
              lambda: f"{n} streams to end in the server's record; {sum(v[4] != 'asked' for v in self.lines())} have")
        out = collections.defaultdict(collections.Counter)
        for target, _, _, _, what in self.lines():
            if what != "asked":
                out[f"{method(target)} {target}"][what] += 1
        return dict(out)


class Dialogue:
    """One connection of a client, its streams, and what it saw of each."""

    def __init__(self, case, port, host="127.0.0.1", tls=None, goodbye=False):
        self.case = case
        self.client = h2.Client(port, host, tls=tls, receive_buffer=case.receive_buffer, goodbye=goodbye, window=case.window)
        self.client.settle()
        self.streams = []
        self.known = {}  # stream number -> its outcome, of those that this side has ended
        self.end = None  # left, aborted: this side's doing

    def __repr__(self):
        return f"{len(self.streams)} streams"

    def send(self, end=True):
        """The heads of all requests, and their bodies unless they are to come later."""
        c, case = self.client, self.case
        for script in case.scripts:
            headers = [("answer", str(case.answer)), ("script", script)]
            self.streams.append(c.ask(case.method, f"/{case.name}", case.body if end else None, headers, end))
        return self.streams

    def read(self, condition):
        """Until it holds, or the connection has ended."""
        while not condition() and self.client.receive():
            pass

    def drain(self):
        self.client.wait(*self.streams)

    def cancel(self, s, code=h2.CANCEL):
        if not s.ended:
            self.known[s.number] = "reset_by_client" + self._place(s)
        self.client.send(h2.rst_frame(s.number, code))

    def leave(self):
        """With something unread, the kernel closes by a reset."""
        if self.client.end:
            self.client.close()
        elif not self.end:
            self.end = "aborted" if unread(self.client.sock) else "left"
            self.client.close()

    def abort(self):
        self.end = "aborted"
        self.client.reset()

    def discard(self):
        self.client.connection.sock.close()

    @staticmethod
    def _place(s):
        return f" mid_response {s.status}" if s.headers else " before_first_byte"

    def outcomes(self):
        return [self._outcome(s) for s in self.streams]

    def _outcome(self, s):
        if s.number in self.known:
            return self.known[s.number]
        if s.ended and s.headers:
            return f"{'answered' if len(s.body) == int(s.headers['content-length']) else 'truncated'} {s.status}"
        if s.error is not None:
            return "reset_by_server" + self._place(s)
        if s.refused:
            return "unanswered" if self.client.goaway[1] else WITHDRAWN
        end = self.end or self.client.end
        if end == "eof":
            return f"truncated {s.status}" if s.headers else "unanswered"
        return {"reset": "reset_by_server", "left": "client_abandoned", "aborted": "reset_by_client"}[end] + self._place(s)


class Case(Way):
    """A script is a stream's."""

    dialogue = Dialogue

    def __init__(self, name, scripts, expected, client=None, answer=1000, method="GET", body=None, receive_buffer=None,
                 window=h2.LARGEST, least=0.0):
        super().__init__(name, scripts, expected, client, answer, method, body, receive_buffer, least)
        self.window = window


def exchanges(record):
    """Without what the server has not looked at, and said so: that is nobody's."""
    out = {e: collections.Counter({k: n for k, n in outcomes.items() if k != WITHDRAWN}) for e, outcomes in record.items()}
    return {e: outcomes for e, outcomes in out.items() if outcomes}


def method_of(target):
    return next((case.method for case in CASES if f"/{case.name}" == target), "GET")


# ---- what clients do ---------------------------------------------------------------------------------------------


def cancel(which, begun=False, size=0, code=h2.CANCEL):
    """Resets these streams (all: None) when their answers have come so far, and stays for the others."""

    def client(d):
        streams = d.send()
        mine = streams if which is None else [streams[i] for i in which]
        d.read(lambda: all((s.headers or not begun) and len(s.body) >= size for s in mine))
        for s in mine:
            d.cancel(s, code)
        d.client.wait(*[s for s in streams if s not in mine])
        # What the server still says of them has come before this is answered.
        d.client.send(h2.frame(h2.PING, 0, 0, b"tillwatc"))
        d.read(lambda: d.client.pings)

    return client


def leave_when(hinted=0, begun=0, size=0, ended=0, how=Dialogue.leave):
    """Goes away when so many answers have begun and ended, and the first one's body has come so far."""

    def client(d):
        streams = d.send()
        d.read(lambda: sum(bool(s.headers) for s in streams) >= begun and sum(s.ended for s in streams) >= ended
               and sum(bool(s.interim) for s in streams) >= hinted and len(streams[0].body) >= size)
        how(d)

    return client


def abort_when(**more):
    return leave_when(how=Dialogue.abort, **more)


def leave_with_the_answer_unread(d):
    d.send()
    d.read(lambda: len(d.streams[0].body) >= 1000)
    until(lambda: unread(d.client.sock), "more of the answer")


def open_the_window_later(d):
    """300 ms after the answer has filled it."""
    s = d.send()[0]
    d.read(lambda: len(s.body) >= d.case.window)
    pause(0.3)
    d.client.send(h2.window_frame(s.number, BIG), h2.window_frame(0, BIG))
    d.drain()


def send_the_body_after_the_answer(d):
    s = d.send(end=False)[0]
    d.drain()
    d.client.send(h2.data_frames(s.number, b"y" * 50_000, end=True))
    d.client.send(h2.frame(h2.PING, 0, 0, b"tillwatc"))
    d.read(lambda: d.client.pings)


def never_end_the_request(d):
    d.send(end=False)
    d.drain()


def send_half_the_body(d):
    s = d.send(end=False)[0]
    d.client.send(h2.data_frame(s.number, b"y" * 500))


def half_close_and_stay(d):
    """The TCP connection's half: this server leaves for that."""
    d.send()
    d.read(lambda: d.streams[0].headers)
    tcp = getattr(d.client.sock, "sock", d.client.sock)  # over TLS without a close_notify, which would come before
    tcp.shutdown(socket.SHUT_WR)
    d.end = "left"
    d.drain()
    d.client.close()


def ask_below_the_goaway(d):
    """A second request leaves after the GOAWAY that refuses it has come."""
    d.send()
    d.read(lambda: d.client.goaway)
    d.streams.append(d.client.ask("GET", f"/{d.case.name}", None, [("answer", "10"), ("script", "gone")]))
    d.streams[-1].refused = True
    d.drain()
    d.client.send(h2.frame(h2.PING, 0, 0, b"tillwatc"))
    d.read(lambda: d.client.pings)


ANSWERED, UNANSWERED, CUT, WITHDRAWN = "answered 200", "unanswered", "truncated 200", "withdrawn"
RESET, RESET_WITHIN = "reset_by_server before_first_byte", "reset_by_server mid_response 200"
CANCELLED, CANCELLED_WITHIN = "reset_by_client before_first_byte", "reset_by_client mid_response 200"
LEFT, LEFT_WITHIN = "client_abandoned before_first_byte", "client_abandoned mid_response 200"
MANY = 30

CASES = [
    Case("good", "rest", ANSWERED),
    Case("empty", "rest", ANSWERED, answer=0),
    Case("good_many", ["rest"] * MANY, [ANSWERED] * MANY),
    Case("upload", "body; rest", ANSWERED, method="POST", body=b"y" * 100_000),
    Case("hints", "hints; wait 20; hints; rest", ANSWERED, least=0.02),
    Case("trailers", "trailers", ANSWERED),
    # the server resets a stream
    *[Case(f"rst_{code}", f"rst {code}", RESET) for code in (h2.NO_ERROR, h2.INTERNAL_ERROR, h2.REFUSED_STREAM, h2.CANCEL,
                                                            h2.ENHANCE_YOUR_CALM)],
    Case("rst_after_hints", "hints; rst 2", RESET),
    Case("rst_after_head", "head; rst 2", RESET_WITHIN),
    Case("rst_in_body", "send 500; rst 2", RESET_WITHIN),
    Case("rst_with_all_but_the_end", "send 1000; rst 0", RESET_WITHIN),
    Case("rst_after_the_end", "rest; rst 0", ANSWERED, never_end_the_request, method="POST"),
    Case("rst_one_of_three", ["rest", "rst 7", "take 3; rest"], [ANSWERED, RESET, ANSWERED]),
    # the client resets a stream
    Case("cancel_before", "gone", CANCELLED, cancel(None)),
    Case("cancel_after_head", "head; gone", CANCELLED_WITHIN, cancel(None, begun=True)),
    Case("cancel_in_body", "send 500; gone", CANCELLED_WITHIN, cancel(None, begun=True, size=500)),
    Case("cancel_after_hints", "hints; gone", CANCELLED, cancel(None)),
    Case("cancel_and_nobody_listens", "head; gone; force", CANCELLED_WITHIN, cancel(None, begun=True)),
    Case("cancel_one_of_three", ["rest", "gone", "take 3; rest"], [ANSWERED, CANCELLED, ANSWERED], cancel([1])),
    Case("cancel_many", ["gone"] * MANY, [CANCELLED] * MANY, cancel(None)),
    # the server ends the answer before its time
    Case("short", "send 999; end", CUT),
    Case("short_of_everything", "head; end", CUT),
    Case("long", "send 1001; end", CUT),
    # GOAWAY
    Case("goaway_after", "goaway 0; rest; close", ANSWERED),
    Case("goaway_below", ["goaway -2; gone"], [WITHDRAWN]),
    Case("goaway_between", ["take 3; goaway 2; rest", "wait 20; rest; close", "gone"], [ANSWERED, ANSWERED, WITHDRAWN]),
    Case("goaway_and_ask", "goaway 0; wait 100; rest", [ANSWERED, WITHDRAWN], ask_below_the_goaway, least=0.1),
    Case("panic_below", ["panic -2; gone"], [UNANSWERED]),
    Case("panic_between", ["take 3; panic 2; rest", "wait 20; rest; close", "gone"], [ANSWERED, ANSWERED, UNANSWERED]),
    # the server ends the connection
    Case("close_unanswered", "close", UNANSWERED),
    Case("close_after_hints", "hints; close", UNANSWERED),
    Case("close_at_head", "head; close", CUT),
    Case("close_in_body", "send 999; close", CUT),
    Case("close_with_all_but_the_end", "send 1000; close", CUT),
    Case("shut_unanswered", "shut; gone", UNANSWERED),
    Case("shut_in_body", "send 10; shut; gone", CUT),
    Case("reset_unanswered", "reset", RESET),
    Case("close_with_many", ["rest", "head", "send 10"] + ["gone"] * MANY + [f"take {MANY + 4}; wait 20; close"],
         [ANSWERED, CUT, CUT] + [UNANSWERED] * (MANY + 1)),
    Case("reset_with_many", ["rest", "gone"] + ["gone"] * MANY + [f"take {MANY + 3}; wait 20; reset"],
         [ANSWERED] + [RESET] * (MANY + 2)),
    # the client ends the connection
    Case("client_leaves", "gone", LEFT, leave_when()),
    Case("client_leaves_after_head", "head; gone", LEFT_WITHIN, leave_when(begun=1)),
    Case("client_leaves_in_body", "send 500; gone", LEFT_WITHIN, leave_when(begun=1, size=500)),
    Case("client_leaves_many", ["rest", f"take {MANY + 2}; head; gone"] + ["gone"] * MANY,
         [ANSWERED, LEFT_WITHIN] + [LEFT] * MANY, leave_when(begun=2, ended=1, size=1000)),
    Case("client_aborts", "hints; gone", CANCELLED, abort_when(hinted=1)),
    Case("client_aborts_after_head", "head; gone", CANCELLED_WITHIN, abort_when(begun=1)),
    # What has not been read at a reset never is: the server has read all of it.
    Case("client_aborts_many", ["rest", f"take {MANY + 2}; head; gone"] + ["gone"] * MANY,
         [ANSWERED, CANCELLED_WITHIN] + [CANCELLED] * MANY, abort_when(begun=2, ended=1, size=1000)),
    Case("client_leaves_unread", "rest", CANCELLED_WITHIN, leave_with_the_answer_unread, answer=BIG, receive_buffer=65536),
    Case("client_leaves_in_its_body", "gone", LEFT, send_half_the_body, method="POST"),
    Case("client_half_closes", "head; gone", LEFT_WITHIN, half_close_and_stay),
    # nobody does anything wrong
    Case("stall_before", "wait 300; rest", ANSWERED, least=0.3),
    Case("stall_within", "send 10; wait 300; rest", ANSWERED, least=0.3),
    Case("flow_control_stall", "rest", ANSWERED, open_the_window_later, answer=BIG, window=70_000, least=0.3),
    Case("answer_early", "rest", ANSWERED, send_the_body_after_the_answer, method="POST"),
]
