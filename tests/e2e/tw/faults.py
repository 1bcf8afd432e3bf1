# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The fault bench: clients that misbehave against servers/faulty.py, and keep a record of what they saw. The record says
what the outcome of each exchange was; it is the oracle.

An outcome is a text: "answered 200", "truncated 200", "unanswered", "reset_by_server mid_response",
"client_abandoned before_first_byte": name, place (of those that may come at any time), status if one was seen.
"""
import array
import collections
import fcntl
import os
import signal
import sys
import termios
import threading
import time

from . import net, tls
from .client import Client, request
from .parallel import in_parallel
from .servers import SERVERS, Server
from .wait import pause, until

END = b"\r\n\r\n"
ANY_TIME = ("reset_by_server", "reset_by_client", "client_abandoned", "timeout")
STATUS_SEEN = len("HTTP/1.1 200")
HEAD = len("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")


class FaultyServer(Server):
    """A program of servers/ that misbehaves as it is asked to, and keeps a record."""

    program = None

    def __init__(self, tmp, host="127.0.0.1", port=None, options=(), name=None, tls=None, **child):
        """tls: a file with a key and its certificate, to speak TLS with."""
        port, name = port or net.free_port(host), name or self.program
        self.log = tmp / f"{name}.requests"
        self.log.touch()
        argv = [sys.executable, os.path.join(SERVERS, f"{self.program}.py"), "--host", host, "--port", port, "--log", self.log,
                *(["--tls", tls] if tls else [])]
        super().__init__([*argv, *options], tmp / f"{name}.out", port, host, **child)

    def rows(self):
        return self.log.read_text().split("\n")[:-1]


class Faulty(FaultyServer):
    """servers/faulty.py; seen(): what it read, as (target, descriptor, time) each."""

    program = "faulty"

    def seen(self):
        return [(target, int(fd), float(t)) for target, fd, t in (row.split(" ") for row in self.rows())]

    def await_read(self, target, n=1):
        until(lambda: sum(row[0] == target for row in self.seen()) >= n, f"{n} times {target} to be read")


def _whole(data):
    """The length of the answer at the start of data, 0 when it is not all there, -1 when only a close ends it."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head, at = data[:end], end + 4
    if b"Content-Length: " in head:
        n = at + int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        return n if len(data) >= n else 0
    if b"chunked" not in head:
        return -1
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return 0
        size = int(data[at:line], 16)
        at = line + 2 + size + 2
        if len(data) < at:
            return 0
        if not size:
            return at


def unread(sock):
    """Bytes that wait in the kernel."""
    n = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, n)
    return n[0]


class Dialogue:
    """One connection of a client, and what it saw of it."""

    def __init__(self, case, port, host="127.0.0.1", tls=None, goodbye=False):
        """tls: a context, for TLS. goodbye: a close says close_notify first; what is aborted does not."""
        self.case = case
        self.requests = case.requests()
        self.client = Client(port, host, receive_buffer=case.receive_buffer, tls=tls, goodbye=goodbye)
        self.sock = self.client.sock
        self.got = b""
        self.end = None  # eof, reset: the server's doing; left, aborted: ours
        self.done = None  # when the last byte so far came

    def __repr__(self):
        return f"{len(self.got)} bytes"

    def send(self, *data):
        """All of it in one write; over TLS a head is a record, and a body another."""
        if isinstance(self.sock, tls.Socket) and not data:
            parts = [part for r in self.requests for part in (r[:r.index(END) + 4], r[r.index(END) + 4:])]
            self.sock.sendall(*parts)
        else:
            self.client.send(*(data or [b"".join(self.requests)]))

    def _receive(self, n):
        try:
            data = self.sock.recv(n)
        except ConnectionResetError:
            self.end = "reset"
            return
        self.got += data
        self.done = time.monotonic() if data else self.done
        if not data:
            # Over TLS that may be close_notify: its FIN is waited for, or ours might come first.
            self.end = "eof" if not isinstance(self.sock, tls.Socket) or self.sock.end() else "reset"

    def read(self, n):
        while len(self.got) < n and not self.end:
            self._receive(n - len(self.got))

    def drain(self):
        """Until all is answered, or the server ends it."""
        while not self.end and len(self.answers()[0]) < len(self.requests):
            self._receive(262144)

    def leave(self):
        """With something unread, the kernel closes by a reset."""
        self.end = self.end or ("aborted" if unread(self.sock) else "left")
        self.client.close()

    def abort(self):
        self.end = "aborted"
        self.client.reset()

    def discard(self):
        self.client.close()

    def half_close(self):
        self.client.half_close()

    def answers(self):
        """Statuses of the whole answers, and what is left of the bytes."""
        out, rest = [], self.got
        while (n := _whole(rest)) and (n > 0 or self.end == "eof"):
            out.append(int(rest[9:12]))
            rest = rest[n:] if n > 0 else b""
        return out, rest

    def outcomes(self):
        """One for each request."""
        whole, rest = self.answers()
        out = [f"answered {status}" for status in whole]
        for _ in self.requests[len(whole):]:
            out.append(self._cut(rest))
            rest = b""
        return out

    def _cut(self, part):
        status = f" {int(part[9:12])}" if len(part) >= STATUS_SEEN else ""
        if self.end == "eof":
            return "truncated" + status if part else "unanswered"
        name = {"reset": "reset_by_server", "left": "client_abandoned", "aborted": "reset_by_client"}[self.end]
        return name + (" mid_response" if part else " before_first_byte") + status


class Way:
    """A way to misbehave, in any protocol. scripts: one a request; expected: the outcomes of the requests."""

    dialogue = None

    def __init__(self, name, scripts, expected, client, answer, method, body, receive_buffer, least):
        self.name = name
        self.scripts = [scripts] if isinstance(scripts, str) else scripts
        self.expected = [expected] if isinstance(expected, str) else expected
        self.client = client or stay
        self.answer, self.method, self.body = answer, method, body
        self.receive_buffer = receive_buffer
        self.least = least  # seconds that the answer takes at least

    def __repr__(self):
        return self.name

    @property
    def endpoint(self):
        return f"{self.method} /{self.name}"

    def play(self, port, host="127.0.0.1", **more):
        """Once; returns the outcomes by the client's record. more: as for the dialogue."""
        d = self.dialogue(self, port, host, **more)
        try:
            self.client(d)
            d.leave()
            got = d.outcomes()
        finally:
            d.discard()
        # What the case is about has happened: or the count would be right about something else.
        assert got == self.expected, f"{self.name}: the client saw {got}, {d}"
        return got


class Case(Way):
    """The requests of a case are sent in one go."""

    dialogue = Dialogue

    def __init__(self, name, scripts, expected, client=None, answer="length 1000", method="GET", body=b"",
                 receive_buffer=None, least=0.0):
        super().__init__(name, scripts, expected, client, answer, method, body, receive_buffer, least)

    def requests(self):
        return [request(self.method, f"/{self.name}", self.body, [f"Answer: {self.answer}", f"Script: {script}"])
                for script in self.scripts]


def play_all(cases, times, port, host="127.0.0.1", threads=1, prepare=None, **more):
    """
    Every case so many times; endpoint -> Counter of outcomes. prepare: called in each thread first; more: as for Dialogue.
    """
    todo = collections.deque(case for _ in range(times) for case in cases)
    record = {case.endpoint: collections.Counter() for case in cases}
    lock = threading.Lock()

    def work(_):
        try:
            if prepare:
                prepare()
            while True:
                try:
                    case = todo.popleft()
                except IndexError:
                    return
                got = case.play(port, host, **more)
                with lock:
                    record[case.endpoint].update(got)
        except Exception:
            todo.clear()  # for the other threads: the test has failed
            raise

    in_parallel(threads, work)
    return record


def finish(dialogues):
    """The clients stay to the end; endpoint -> Counter of outcomes."""
    record = collections.defaultdict(collections.Counter)
    for d in dialogues:
        d.drain()
        d.leave()
        got = d.outcomes()
        assert got == d.case.expected, f"{d.case}: the client saw {got}"
        record[d.case.endpoint].update(got)
    return record


def expected_total(record):
    return sum(sum(outcomes.values()) for outcomes in record.values())


def counted(figures):
    """What the tool says of an endpoint: outcomes with their places, and statuses."""
    out = {k: n for k, n in figures["outcomes"].items() if n and k not in ANY_TIME}
    for name in ANY_TIME:
        places = figures["cut"][name]
        assert sum(places.values()) == figures["outcomes"][name], f"{name}: {figures}"
        out.update({f"{name} {place}": n for place, n in places.items() if n})
    return out, {int(k): n for k, n in figures["status"].items() if n}


def assert_record(document, record, arm="baseline"):
    """The document says of each endpoint what the clients' record says, to the last exchange."""
    wrong = []
    for endpoint, outcomes in record.items():
        expected, statuses = collections.Counter(), collections.Counter()
        for outcome, n in outcomes.items():
            name, _, status = outcome.rpartition(" ")
            if not status.isdigit():
                name, status = outcome, ""
            expected[name] += n
            if status:
                statuses[int(status)] += n
        got = counted(document.figures(endpoint, arm))
        if got != (dict(expected), dict(statuses)):
            wrong.append(f"{endpoint}: counted {got}, was {(dict(expected), dict(statuses))}")
    assert not wrong, "outcomes differ\n  " + "\n  ".join(wrong)


# ---- what clients do ---------------------------------------------------------------------------------------------


def stay(d):
    d.send()
    d.drain()


def half_close_and_stay(d):
    d.send()
    d.half_close()
    d.drain()


def leave_after(n):
    """Closes when it has n bytes of the answer."""

    def client(d):
        d.send()
        d.read(n)

    return client


def abort_after(n):
    def client(d):
        d.send()
        d.read(n)
        d.abort()

    return client


def leave_with_the_answer_unread(d):
    d.send()
    d.read(1000)
    until(lambda: unread(d.sock), "more of the answer")


def stop_reading_for(seconds):
    def client(d):
        d.send()
        d.read(1000)
        pause(seconds)
        d.drain()

    return client


def send_the_body_after_the_answer(d):
    """The first request's body; the second request follows it."""
    head, body = d.requests[0].split(b"\r\n\r\n", 1)
    d.send(head + b"\r\n\r\n" + body[:10])
    while not d.answers()[0] and not d.end:
        d.read(len(d.got) + 1)
    d.send(body[10:] + d.requests[1])
    d.drain()


def send_half_the_body(d):
    d.send(d.requests[0][:-len(d.case.body) // 2])


BIG = "length 4000000"


def _cut_cases():
    """Close and reset at a byte of the head, at its end, in the body, one byte before the end."""
    for verb, name in (("close", "truncated"), ("reset", "reset_by_server mid_response")):
        for place in ("1", "11", "12", "20", "head", "head+1", "head+10", "head+999"):
            status = "" if place in ("1", "11") else " 200"
            yield Case(f"{verb}_at_{place.replace('+', '_and_')}", f"send {place}; {verb}", name + status)


def _client_cases():
    for n, place in ((0, "before_first_byte"), (5, "mid_response"), (HEAD, "mid_response 200"),
                     (HEAD + 10, "mid_response 200")):
        yield Case(f"client_leaves_at_{n}", f"send {n}; gone; close", f"client_abandoned {place}", leave_after(n))
        yield Case(f"client_aborts_at_{n}", f"send {n}; gone; close", f"reset_by_client {place}", abort_after(n))


CASES = [
    Case("good", "rest", "answered 200"),
    Case("close_unanswered", "close", "unanswered"),
    Case("reset_unanswered", "reset", "reset_by_server before_first_byte"),
    *_cut_cases(),
    *_client_cases(),
    Case("chunked_without_an_end", "send head+500; close", "truncated 200", answer="chunked 1000"),
    Case("chunked_with_an_end", "send head+500; rest; close", "answered 200", answer="chunked 1000"),
    Case("until_close", "rest; close", "answered 200", answer="close 1000"),
    Case("until_close_reset", "send head+500; reset", "reset_by_server mid_response 200", answer="close 1000"),
    Case("stall_before", "wait 300; rest", "answered 200", least=0.3),
    Case("stall_within", "send head+10; wait 300; rest", "answered 200", least=0.3),
    Case("stall_and_close", "wait 100; close", "unanswered"),
    Case("half_close", "gone; rest", "answered 200", half_close_and_stay),
    Case("half_close_within", "send 30; gone; rest; close", "answered 200", half_close_and_stay),
    Case("answer_early", ["rest; read", "rest"], ["answered 200"] * 2, send_the_body_after_the_answer, method="POST",
         body=b"y" * 100_000),
    Case("body_unread", "rest; sent; close", "answered 200", method="POST", body=b"y" * 2000),
    Case("close_with_body_unread", "close", "reset_by_server before_first_byte", method="POST", body=b"y" * 2000),
    Case("client_leaves_in_its_body", "read", "client_abandoned before_first_byte", send_half_the_body, method="POST",
         body=b"y" * 2000),
    Case("server_writes_on", "send head; gone; rest", "client_abandoned mid_response 200",
         leave_after(len("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n")), answer=BIG),
    Case("client_leaves_unread", "rest", "reset_by_client mid_response 200", leave_with_the_answer_unread, answer=BIG,
         receive_buffer=65536),
    Case("client_pauses", "rest", "answered 200", stop_reading_for(0.3), answer=BIG, receive_buffer=65536, least=0.3),
    Case("pipeline", ["rest"] * 3, ["answered 200"] * 3),
    Case("pipeline_closed", ["take 2; rest; close"] * 3, ["answered 200", "unanswered", "unanswered"]),
    Case("pipeline_cut", ["rest", "take 1; send 20; close", "rest"], ["answered 200", "truncated 200", "unanswered"]),
    Case("pipeline_unread", ["rest; sent; close"] * 3, ["answered 200"] + ["reset_by_server before_first_byte"] * 2),
    Case("pipeline_vanishes", ["take 2; gone"] * 3, ["client_abandoned before_first_byte"] * 3, leave_after(0)),
    Case("pipeline_aborts", ["take 2; gone"] * 3, ["reset_by_client before_first_byte"] * 3, abort_after(0)),
    Case("pipeline_vanishes_later", ["take 2; rest; gone"] * 3, ["answered 200"] + ["client_abandoned before_first_byte"] * 2,
         leave_after(HEAD + 1000)),
]

IN_FLIGHT = [  # how far each has come when the server is killed: bytes that its client has read by then
    (Case("before", "wait 60000; rest", "unanswered"), 0),
    (Case("inside_head", "send 5; wait 60000; rest", "truncated"), 5),
    (Case("inside_body", "send head+10; wait 60000; rest", "truncated 200"), HEAD + 10),
    (Case("until_close", "rest; wait 60000", "answered 200", answer="close 1000"), 1),
    (Case("unread", ["rest", "wait 60000", "rest"], ["answered 200"] + ["reset_by_server before_first_byte"] * 2), HEAD + 1000),
    (Case("all_read", ["take 2; send 20; wait 60000"] * 3, ["truncated 200", "unanswered", "unanswered"]), 20),
]


def kill_with_requests_in_flight(server, times, **more):
    """Endpoint -> Counter of outcomes, by the clients' record. more: as for Dialogue."""
    dialogues = [(Dialogue(case, server.port, **more), so_far) for case, so_far in IN_FLIGHT for _ in range(times)]
    for d, so_far in dialogues:
        d.send()
        d.read(so_far)
    server.await_read("/before", times)
    server.await_read("/unread", 2 * times)
    server.await_read("/all_read", 3 * times)
    server.stop(signal.SIGKILL)
    return finish(d for d, _ in dialogues)
