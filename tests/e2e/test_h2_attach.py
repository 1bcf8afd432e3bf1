# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
HTTP/2 connections that are older than the tool, and records that are lost: every request that is seen is counted, under its name
as far as the header tables that are known allow, and never under a wrong one.
"""
import signal
import struct
import threading

import pytest

from test_h2_frames import by_path
from tw import h2, h2_servers
from tw.h2faults import Case, Dialogue, Faulty
from tw.net import await_closed
from tw.oracle import assert_answered, assert_counts, counts
from tw.wait import pause, until

UNKNOWN = "(unknown)"


@pytest.fixture
def served(raw_server):
    return lambda answer=by_path: raw_server(lambda c: h2.serve(c.sock, answer))


def of_http2(document):
    return document["coverage"]["http2"]


@pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "tls"])
def test_requests_on_an_open_connection_are_all_counted(secure, h2_server, watching):
    """What is spelled out is named, and from then on what refers to it; what refers to an older entry is not."""
    server = h2_server("node", tls=secure)
    with h2.Client(server.port, tls=secure or None) as c:
        for path in ("/old/a", "/old/b") * 3:
            assert c.get(path).status == 200
        w = watching(server.port)
        for path in ("/new/a", "/old/a", "/new/a", "/missing/new", "/old/b", "/new/a", "/missing/new", "/fail"):
            c.get(path)
        for _ in range(5):
            s = c.new_stream()  # with no table at all: indexed fields of the static one, and literals
            block = b"\x83\x86" + b"\x04\x08/literal" + b"\x01\x01x"
            c.send(h2.header_frames(s.number, block, end=True))
            assert c.wait(s).status == 200
    d = w.stop()
    # Node's statuses are entries of the static table, but 503, which it spells out.
    assert_counts(d.counts(), {("GET /new/a", 200): 3, ("GET /missing/new", 404): 2, ("GET /fail", 503): 1, (UNKNOWN, 200): 2,
                               ("POST /literal", 200): 5})
    of = of_http2(d)
    assert (of["connections"], of["joined"], of["requests"], of["unknown"]) == (1, 1, 13, 2), d
    assert of["desynchronised"] == of["malformed"] == of["shed"] == 0, d


def test_the_tool_ends_in_order_while_streams_are_open(h2_server, watching):
    server = h2_server("node")
    w = watching(server.port)
    with h2.Client(server.port) as c:
        waiting = [c.ask("GET", f"/sleep/60000/{'abcdefghij'[i % 10]}") for i in range(50)]
        assert c.get("/ok").status == 200
        d = w.stop(idle=True)
    assert len(waiting) == d["ledger"]["in_flight"] == 50 and of_http2(d)["open"] == 50, d
    assert d.counts() == {("GET /ok", 200): 1}, d


def test_a_table_that_has_been_filled_anew_is_known_again(served, watching):
    """The tool finds back: once everything old has been pushed out of the table, every name is known."""
    server = served()
    with h2.Client(server.port) as c:
        for i in range(100):
            c.get(f"/old/{'abcdefghij'[i % 10]}", headers=[("x-fill", "f" * (i % 30))])
        w = watching(server.port)
        for i in range(100):  # of 70 bytes and more each, in a table of 4096
            c.get(f"/status/404/{i}", headers=[("x-fill", str(i) * 10)])
        again = [c.get(f"/again/{'abc'[i % 3]}") for i in range(30)]
        assert all(s.status == 200 for s in again)
    server.join()
    d = w.stop()
    got = d.counts()
    assert {k: n for k, n in got.items() if k[0].startswith("GET /again")} == {(f"GET /again/{x}", 200): 10 for x in "abc"}
    assert got["GET /status/{id}/{id}", 404] + got.get((UNKNOWN, 404), 0) == 100
    assert d.requests() == 130 and of_http2(d)["joined"] == 1


def test_what_was_asked_before_the_tool_came_is_not_counted(tmp_path, started, watching):
    """Its answer comes afterwards, beside those of requests that are seen whole."""
    server, go = started(Faulty(tmp_path)), tmp_path / "go"
    before = Dialogue(Case("before", [f"file {go}; rest", "gone"], []), server.port)
    before.send()
    server.await_read("/before", 2)
    w = watching(server.port)
    seen = [before.client.ask("GET", "/seen", headers=[("answer", "10"), ("script", "rest")]) for _ in range(3)]
    before.client.wait(*seen)
    go.touch()
    assert before.client.wait(before.streams[0]).ended
    seen.append(before.client.ask("GET", "/seen", headers=[("answer", "10"), ("script", "rest")]))
    before.client.wait(seen[-1])
    before.client.close()
    d = w.stop()
    assert_answered(d, {("GET /seen", 200): 4})
    assert of_http2(d)["requests"] == 4


IN_FRONT = {
    "window": lambda number: h2.window_frame(0, 1), "two windows": lambda number: h2.window_frame(0, 1) * 2,
    "ping": lambda number: h2.frame(h2.PING, 0, 0, b"in front"), "priority": h2.priority_frame,
    "reset": lambda number: h2.rst_frame(number - 2),
    "priority update": lambda number: h2.frame(0x10, 0, 0, struct.pack(">I", number) + b"u=1"),  # RFC 9218
}


@pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "tls"])
def test_an_open_connection_is_found_whatever_its_requests_have_in_front_of_them(secure, h2_server, watching):
    """No segment, and no record of TLS, begins with a request."""
    server = h2_server("node", tls=secure)
    clients = {what: h2.Client(server.port, tls=secure or None) for what in IN_FRONT}
    for c in clients.values():
        for _ in range(3):
            c.get("/old")
    w = watching(server.port)
    for what, c in clients.items():
        target = "/missing/" + what.replace(" ", "-")
        for _ in range(10):
            s = c.new_stream()
            c.send(IN_FRONT[what](s.number) + h2.header_frames(s.number, c.request_head("GET", target), end=True))
            assert c.wait(s).status == 404
        c.close()
    d = w.stop()
    assert_answered(d, {(f"GET /missing/{what.replace(' ', '-')}", 404): 10 for what in IN_FRONT})
    of, n = of_http2(d), len(clients)
    assert (of["joined"], of["requests"], of["desynchronised"]) == (n, 10 * n, 0), d


def test_what_was_agreed_on_before_the_tool_came_breaks_no_connection(raw_server, watching):
    """Frames that are larger than they may be by default, and of types that the tool does not know, on either side."""
    def answer(peer, s):
        peer.send(h2.frame(0x0a, 0, 0, b"\0\0h3=:443"))  # ALTSVC, RFC 7838
        if s.headers[":method"] == "POST":
            peer.send(h2.header_frames(s.number, peer.block([(":status", "202")])))
            peer.send(h2.frame(h2.DATA, h2.END_STREAM, s.number, bytes(30_000)))
        else:
            by_path(peer, s)

    server = raw_server(lambda c: h2.serve(c.sock, answer, {h2.MAX_FRAME: 1 << 20}))
    with h2.Client(server.port, settings={h2.MAX_FRAME: 1 << 20}) as c:
        c.settle()
        c.get("/old")
        w = watching(server.port)
        for _ in range(10):
            c.send(h2.frame(0x0b + 0x1f * 7, 0xff, 0, b"grease"))  # RFC 8701's way with types that nobody knows
            s = c.ask("POST", "/large", end=False)
            c.send(h2.frame(h2.DATA, h2.END_STREAM, s.number, bytes(20_000)))
            assert c.wait(s).status == 202
            assert c.get("/status/404/y").status == 404
    server.join()
    d = w.stop()
    assert_answered(d, {("POST /large", 202): 10, ("GET /status/{id}/y", 404): 10})
    of = of_http2(d)
    assert (of["joined"], of["requests"], of["desynchronised"]) == (1, 20, 0), d


def test_an_open_connection_may_be_met_inside_a_frame(served, watching):
    """Half a DATA frame has passed, and half an answer: the rest of them is no frame, whatever it looks like."""
    server = served()
    evil = h2.header_frames(99, b"\x82\x84\x86", end=True)
    with h2.Client(server.port) as c:
        c.get("/before")
        s = c.ask("POST", "/body", end=False)
        c.send(h2.frame(h2.DATA, h2.END_STREAM, s.number, evil * 300)[:3000])
        w = watching(server.port)
        rest = h2.frame(h2.DATA, h2.END_STREAM, s.number, evil * 300)[3000:]
        for i in range(0, len(rest), 700):
            c.send(rest[i:i + 700])
        assert c.wait(s).status == 200
        for i in range(20):
            assert c.get(f"/status/404/{'abcde'[i % 5]}").status == 404
    server.join()
    d = w.stop()
    assert sum(n for (_, status), n in d.counts().items() if status == 404) == d.requests() <= 20, d
    assert {name for name, _, _ in d.arms()} <= {f"GET /status/{{id}}/{x}" for x in "abcde"} | {UNKNOWN}
    # It may take a few requests until a frame's beginning is known for certain.
    assert d.requests() >= 15, d


def test_a_tool_that_comes_and_goes_under_load_names_nothing_wrongly(tmp_path, h2_server, started, watching):
    """h2load all the time; connections that begin afterwards are known to the last stream."""
    server, open_targets = h2_server("nginx"), ("/ok", "/missing", "/boom")
    load = started(h2_servers.H2load(tmp_path, server, open_targets, clients=12, streams=16, seconds=60))
    until(lambda: server.access_log.stat().st_size > 100_000, "h2load to be at work")
    w = watching(server.port)
    second = started(h2_servers.H2load(tmp_path, server, ("/empty/new", "/unchanged/new"), 20_000, 10, 16, name="second"))
    assert second.wait()["done"] == 20_000
    load.stop()
    d = w.stop(lossless=True)
    known = {"/ok": 200, "/missing": 404, "/boom": 503, "/empty/new": 204, "/unchanged/new": 304}
    got, log = d.counts(), counts(server.exchanges())
    for (name, status), n in got.items():
        assert name == UNKNOWN and status in known.values() or known[name.split(" ")[1]] == status, (name, status)
        assert n <= log.get((name, status), 1 << 60)
    assert {k: n for k, n in got.items() if k[0].endswith("/new")} == {("GET /empty/new", 204): 10_000,
                                                                      ("GET /unchanged/new", 304): 10_000}
    assert of_http2(d)["joined"] == 12 and of_http2(d)["connections"] == 22
    assert sum(n for (_, status), n in got.items() if status in (200, 404, 503)) > 1000


def test_streams_that_are_open_at_the_end_are_in_flight(tmp_path, started, watching):
    server = started(Faulty(tmp_path))
    w = watching(server.port)
    d = Dialogue(Case("open", ["rest"] + ["head; gone"] * 2 + ["gone"] * 3, []), server.port)
    streams = d.send()
    d.read(lambda: streams[0].ended and streams[1].headers and streams[2].headers)
    server.await_read("/open", 6)
    document = w.stop(idle=True)
    d.client.close()
    assert document.outcomes() == {"answered": 1}
    ledger = document["ledger"]
    assert (ledger["seen"], ledger["ended"], ledger["in_flight"], ledger["lost"]) == (6, 1, 5, 0), ledger


def test_a_loss_of_records_is_told_and_names_nothing_wrongly(tmp_path, h2_server, started, watching):
    """The tool does not read for a while, and the ring overflows; connections that begin afterwards are known again."""
    server = h2_server("nginx")
    w = watching(server.port)
    h2_servers.H2load(tmp_path, server, ("/ok",), 1000, 4, 8, name="first").wait()
    w.child.kill(signal.SIGSTOP)
    load = started(h2_servers.H2load(tmp_path, server, ("/ok", "/missing", "/boom"), 150_000, 8, 32))
    until(lambda: server.access_log.stat().st_size > 5_000_000, "a lot of requests", seconds=60)
    w.child.kill(signal.SIGCONT)
    assert load.wait()["done"] == 150_000
    pause(0.5)  # what is in the ring is read
    h2_servers.H2load(tmp_path, server, ("/empty/new", "/unchanged/new"), 10_000, 8, 16, name="second").wait()
    d = w.stop(lossless=False)
    got, known = d.counts(), {"/ok": 200, "/missing": 404, "/boom": 503, "/empty/new": 204, "/unchanged/new": 304}
    for (name, status), n in got.items():
        assert name == UNKNOWN and status in known.values() or known[name.split(" ")[1]] == status, (name, status)
        if name == "GET /ok":
            assert n <= 51_000
    assert {k: n for k, n in got.items() if k[0].endswith("/new")} == {("GET /empty/new", 204): 5000,
                                                                      ("GET /unchanged/new", 304): 5000}
    lost = 1000 + 150_000 + 10_000 - d.requests()
    assert lost == 0 or of_http2(d)["desynchronised"] > 0 and d["coverage"]["complete"] is False, d
    assert lost == 0 or d["loss"]["events"] + d["loss"]["exchanges"] > 0, d
    assert lost > 0, "nothing was lost: the test shows nothing"


def test_connections_that_end_while_records_are_lost_are_not_in_flight_for_ever(tmp_path, h2_server, watching_each):
    """They begin far behind in the ring, and end when it is full: their end is heard of before their beginning is read."""
    busy, slow = h2_server("nginx"), h2_server("node")
    w = watching_each(busy, slow)
    h2_servers.H2load(tmp_path, busy, ("/ok",), 1000, 4, 8, name="first").wait()
    w.child.kill(signal.SIGSTOP)
    h2_servers.H2load(tmp_path, busy, ("/ok",), 20_000, 8, 1, name="before").wait()
    open_ones = [h2.Client(slow.port) for _ in range(50)]
    for c in open_ones:
        streams = [c.ask("GET", "/sleep/60000") for _ in range(4)]
        c.until(lambda: all(s.headers for s in streams))
    h2_servers.H2load(tmp_path, busy, ("/ok",), 150_000, 8, 4, name="full").wait()
    for c in open_ones:
        c.close()
    await_closed(slow.port)
    w.child.kill(signal.SIGCONT)
    pause = threading.Event()
    pause.wait(0.5)  # a part of what is in the ring is read, or all of it
    d = w.stop(lossless=False)
    assert d["loss"]["events"] > 0, "nothing was lost: the test shows nothing"
    assert d.requests("canary") == 200 and of_http2(d)["open"] == 0, d
