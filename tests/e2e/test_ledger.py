# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What is in flight, the books that must balance, and exchanges whose answer does not come in time. Oracle: what the
clients of these tests have open, and what they were answered.
"""
import threading
import time

import pytest

from tw import servers, watch
from tw.client import Client, ask, request
from tw.load import Wrk
from tw.wait import until

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
FAILED = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 4\r\n\r\nlate"


class Hanging:
    """A handler that reads requests and answers none of them before release(); then those that are still wanted."""

    def __init__(self, answer=OK):
        self.read = threading.Semaphore(0)
        self.released = threading.Event()
        self.answer = answer

    def __call__(self, c):
        while c.request():
            self.read.release()
            self.released.wait()
            if self.answer:
                c.send(self.answer)

    def await_requests(self, n):
        for _ in range(n):
            assert self.read.acquire(timeout=10)


def version(document, name="v1"):
    found = [v for v in document["versions"] if v["version"] == name]
    assert len(found) == 1, document["versions"]
    return found[0]


def open_clients(port, n, *paths):
    clients = [Client(port) for _ in range(n)]
    for c in clients:
        for path in paths:
            c.send(request("GET", path))
    return clients


def test_what_is_in_flight_is_what_the_clients_have_open(raw_server, watching, started):
    hanging = Hanging()
    server = raw_server(hanging)
    w = watching(server.port)
    ask_and_close = raw_server(servers.answering({"/": OK}))
    ask(ask_and_close.port, "GET", "/")  # another port: not counted
    started(Client(server.port))  # a connection that asks nothing
    clients = [started(c) for c in open_clients(server.port, 7, "/a", "/b")]
    hanging.await_requests(7)
    d = w.stop(idle=True)
    v = version(d)
    assert v["arm"] == "baseline"
    assert v["ledger"] == {"seen": 14, "ended": 0, "in_flight": 14, "lost": 0, "balanced": True}
    assert d["ledger"] == v["ledger"]
    assert v["in_flight_max"] == 14
    assert 0.5 < v["oldest_in_flight"] < 30
    assert d["coverage"]["in_flight_measured"] is True
    hanging.released.set()
    assert all(c.answer().status == 200 for c in clients)


def test_a_deep_pipeline_is_in_flight_to_the_last_request(raw_server, watching, started):
    """More than the four that lie with the connection; and each is overdue by itself."""
    hanging = Hanging()
    server = raw_server(hanging)
    w = watching(server.port, gate={"timeout": "300ms"})
    c = started(Client(server.port))
    c.send(request("GET", "/deep") * 100)
    hanging.await_requests(1)
    d = w.stop(idle=True)
    assert version(d)["ledger"] == {"seen": 100, "ended": 0, "in_flight": 100, "lost": 0, "balanced": True}
    assert d.outcomes() == {"timeout": 100} and d.requests() == 100
    hanging.released.set()


def test_the_highest_number_in_flight_is_kept_after_it_has_fallen(raw_server, watching):
    hanging = Hanging()
    server = raw_server(hanging)
    w = watching(server.port)
    clients = open_clients(server.port, 5, "/a")
    hanging.await_requests(5)
    time.sleep(1.5)  # longer than from one look to the next
    hanging.released.set()
    for c in clients:
        assert c.answer().status == 200
        c.close()
    v = version(w.stop())
    assert v["ledger"] == {"seen": 5, "ended": 5, "in_flight": 0, "lost": 0, "balanced": True}
    assert v["in_flight_max"] == 5 and v["oldest_in_flight"] is None


def test_a_server_that_hangs_has_timed_out_while_it_still_hangs(raw_server, watching, started):
    hanging = Hanging()
    server = raw_server(hanging)
    w = watching(server.port, gate={"timeout": "1s"}, endpoints=["GET /pay"])
    clients = [started(c) for c in open_clients(server.port, 3, "/pay")]
    hanging.await_requests(3)
    time.sleep(1)
    d = w.stop(idle=True)
    assert d.outcomes() == {"timeout": 3} and d.requests() == 3
    assert d.figures("GET /pay")["errors"] == 3 and d.counts() == {}
    assert version(d)["ledger"] == {"seen": 3, "ended": 0, "in_flight": 3, "lost": 0, "balanced": True}
    hanging.released.set()
    assert len(clients) == 3


def test_within_the_timeout_a_slow_server_is_only_slow(raw_server, watching):
    hanging = Hanging()
    server = raw_server(hanging)
    w = watching(server.port, gate={"timeout": "20s"})
    clients = open_clients(server.port, 2, "/pay")
    hanging.await_requests(2)
    time.sleep(1.2)
    hanging.released.set()
    for c in clients:
        assert c.answer().status == 200
        c.close()
    d = w.stop()
    assert d.outcomes() == {"answered": 2} and d.figures("GET /pay")["errors"] == 0


@pytest.mark.parametrize("answer, status", [(OK, 200), (FAILED, 504)], ids=["200", "504"])
def test_a_late_answer_is_one_timeout_and_one_error_and_keeps_its_status(raw_server, watching, answer, status):
    """Told of while it waited, and told of when it ended: one exchange all the same."""
    hanging = Hanging(answer)
    server = raw_server(hanging)
    w = watching(server.port, gate={"timeout": "1s"})
    clients = open_clients(server.port, 3, "/pay")
    hanging.await_requests(3)
    time.sleep(2)  # timeout + 1 s
    hanging.released.set()
    for c in clients:
        assert c.answer().status == status
        c.close()
    for _ in range(4):
        with Client(server.port) as c:
            assert c.ask("GET", "/pay").status == status
    d = w.stop()
    assert d.outcomes() == {"timeout": 3, "answered": 4} and d.requests() == 7
    assert d.counts() == {("GET /pay", status): 7}
    assert d.figures("GET /pay")["errors"] == (7 if status == 504 else 3)
    assert version(d)["ledger"] == {"seen": 7, "ended": 7, "in_flight": 0, "lost": 0, "balanced": True}


@pytest.mark.parametrize("way", ["server closes", "server resets", "client closes", "client resets"])
def test_whatever_ends_it_after_the_timeout_it_is_a_timeout(raw_server, watching, way):
    read, released = threading.Semaphore(0), threading.Event()

    def handler(c):
        c.request()
        read.release()
        released.wait()
        if way == "server resets":
            c.reset()
        elif way.startswith("client"):
            try:
                c.sock.recv(1)
            except ConnectionResetError:
                pass

    server = raw_server(handler)
    w = watching(server.port, gate={"timeout": "500ms"})
    clients = open_clients(server.port, 2, "/pay")
    for _ in clients:
        assert read.acquire(timeout=10)
    time.sleep(1)
    released.set()
    for c in clients:
        if way == "client resets":
            c.reset()
        elif way == "client closes":
            c.close()
        else:
            assert c.closed_by_server()
            c.close()
    server.join()
    d = w.stop()
    assert d.outcomes() == {"timeout": 2} and d.requests() == 2


def test_an_answer_that_began_in_time_may_take_as_long_as_it_likes(raw_server, watching):
    began, released = threading.Semaphore(0), threading.Event()

    def handler(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        began.release()
        released.wait()
        c.send(b"def")

    server = raw_server(handler)
    w = watching(server.port, gate={"timeout": "300ms"})
    with Client(server.port) as c:
        c.send(request("GET", "/film"))
        assert began.acquire(timeout=10)
        time.sleep(1.5)
        released.set()
        assert c.answer().body == b"abcdef"
    server.join()
    d = w.stop()
    assert d.outcomes() == {"answered": 1}


def test_a_slow_upload_is_no_timeout_and_the_answer_to_it_may_be(raw_server, watching):
    """The clock of the answer starts when the whole request is there."""
    def handler(c):
        if c.request()[1] == "/hang":
            time.sleep(1.5)
        c.send(OK)

    server = raw_server(handler)
    w = watching(server.port, gate={"timeout": "500ms"})
    for path in ("/good", "/hang"):
        with Client(server.port) as c:
            c.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc" % path.encode())
            time.sleep(1.2)
            c.send(b"def")
            assert c.answer().status == 200
    server.join()
    d = w.stop()
    assert d.figures("POST /good")["outcomes"]["answered"] == 1
    assert d.figures("POST /hang")["outcomes"]["timeout"] == 1
    assert d.requests() == 2


def test_the_books_balance_at_every_look_under_load(nginx, watching, tmp_path, started):
    """wrk is still at it when the tool ends: what is in flight then is at most what its connections can have."""
    server = nginx()
    w = watching(server.port)
    load = started(Wrk(tmp_path, server.port, ("/ok",), 16))
    time.sleep(6)
    d = w.stop(idle=True)
    load.stop()
    v = version(d)
    assert v["ledger"]["balanced"] is True and d["ledger"]["balanced"] is True
    assert v["ledger"]["seen"] > 1000
    assert 0 <= v["ledger"]["in_flight"] <= 16 and v["in_flight_max"] <= 16
    assert "does not balance" not in d.stderr


def test_connections_that_come_and_go_leave_the_books_balanced(nginx, watching):
    server = nginx()
    w = watching(server.port)
    for _ in range(300):
        ask(server.port, "GET", "/ok")
    d = w.stop()
    assert version(d)["ledger"] == {"seen": 300, "ended": 300, "in_flight": 0, "lost": 0, "balanced": True}


def test_a_canary_that_hangs_is_rolled_back_while_it_hangs(raw_server, watching, tmp_path, started):
    """No exchange of the canary ever ends: what is known of it is known by the iterator alone."""
    hanging = Hanging()
    good, bad = raw_server(servers.answering({"/pay": OK})), raw_server(hanging)
    w = watching(versions={"v1": ("baseline", {"listen": str(good.port)}),
                           "v2": ("canary", {"listen": str(bad.port)})},
                 endpoints=[{"route": "GET /pay", "critical": True}],
                 gate={"timeout": "500ms", "tick": "500ms", "warmup": "0s", "min_requests": 20})
    clients = []
    for i in range(50):  # five seconds; the canary is asked in the first three
        for _ in range(4):  # a fifth goes to the canary: a tick can divide the odds by five at most
            ask(good.port, "GET", "/pay")
        if i < 30:
            clients += [started(c) for c in open_clients(bad.port, 1, "/pay")]
        time.sleep(0.1)
    hanging.await_requests(len(clients))
    d = w.stop(idle=True)
    verdict = d["verdict"]
    assert verdict["verdict"] == "rollback", verdict
    assert d.outcomes("canary") == {"timeout": 30}
    ep = verdict["endpoints"][0]
    assert (ep["bad_c"], ep["n_c"]) == (30, 30), ep
    hanging.released.set()


def test_a_timeout_is_one_bad_exchange_to_the_judge_whenever_it_ends(raw_server, watching):
    """Told of in one tick, ended with a 504 in a later one."""
    hanging = Hanging(FAILED)
    good, bad = raw_server(servers.answering({"/pay": OK})), raw_server(hanging)
    w = watching(versions={"v1": ("baseline", {"listen": str(good.port)}),
                           "v2": ("canary", {"listen": str(bad.port)})},
                 endpoints=[{"route": "GET /pay", "critical": True}],
                 gate={"timeout": "400ms", "tick": "300ms", "warmup": "0s", "min_requests": 20})
    clients = open_clients(bad.port, 8, "/pay")
    hanging.await_requests(8)
    stop = time.monotonic() + 2
    while time.monotonic() < stop:
        ask(good.port, "GET", "/pay")
    hanging.released.set()
    for c in clients:
        assert c.answer().status == 504
        c.close()
    stop = time.monotonic() + 1
    while time.monotonic() < stop:
        ask(good.port, "GET", "/pay")
    d = w.stop()
    ep = d["verdict"]["endpoints"][0]
    assert (ep["bad_c"], ep["n_c"]) == (8, 8), ep
    assert d.outcomes("canary") == {"timeout": 8} and d.figures("GET /pay", "canary")["errors"] == 8


def test_the_iterators_and_the_timeout_are_told_by_doctor_and_config(tmp_path):
    r = watch.run("doctor")
    assert "iter/bpf_sk_storage_map" in r.out and "iter/bpf_map_elem" in r.out
    path = tmp_path / "bad.yaml"
    path.write_text(watch.config_text({"v1": ("baseline", {"listen": "8081"})}, gate={"timeout": "2h"}))
    r = watch.run("watch", "-c", path, "--for", "1s")
    assert r.code == 2 and "timeout" in r.err, r


def test_what_is_answered_while_the_tool_ends_is_no_error(raw_server, watching):
    """
    Clients that ask once a connection, until it has ended. Its programs go one kind after the other, those in this
    process's own TLS library last: what is answered when no packet is seen any more is not counted as cut.
    """

    def handler(c):
        if c.request():
            time.sleep(0.02)
            c.send(OK)

    server = raw_server(handler)
    w = watching(server.port)
    ended = threading.Event()
    statuses = []

    def work():
        while not ended.is_set():
            with Client(server.port) as c:
                statuses.append(c.ask("GET", "/a").status)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for t in threads:
        t.start()
    until(lambda: len(statuses) >= 200, "200 answers", 30)
    try:
        assert w.end() == 0
    finally:
        ended.set()
        for t in threads:
            t.join()
    d = watch.Document(w.stdout(), w.stderr())
    assert set(statuses) == {200}
    assert set(d.outcomes()) == {"answered"}, d.outcomes()
    assert 200 <= d.requests() <= len(statuses)
    assert version(d)["ledger"]["in_flight"] <= len(threads)
