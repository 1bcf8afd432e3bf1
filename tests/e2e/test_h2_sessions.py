# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Streams of HTTP/2 that last: WebSockets and event streams, sessions with an orderly or a broken end, and no part of the latencies."""
import threading

from tw import h2, net
from tw.wait import until


def connect(c, path, protocol="websocket"):
    s = c.new_stream()
    pairs = [(":method", "CONNECT"), (":authority", "shop.example")]
    if protocol:
        pairs += [(":protocol", protocol), (":scheme", "https"), (":path", path)]
    c.send(h2.header_frames(s.number, c.block(pairs)))
    return s


def test_websockets_are_sessions_and_no_part_of_the_latencies(raw_server, watching):
    """Extended CONNECT (RFC 8441): closed, reset by either side, cut with the connection. An ordinary request beside them."""
    def answer_connect(peer, s):
        what = s.headers[":path"].split("/")[2] if s.headers[":method"] == "CONNECT" else "plain"
        peer.answer(s.number, 200, end=what == "plain")
        if what == "reset":
            peer.send(h2.rst_frame(s.number, h2.INTERNAL_ERROR))
        return what

    def handler(c):
        peer = h2.Peer(c.sock, False)
        peer.expect_magic()
        peer.preface({h2.ENABLE_CONNECT: 1})
        begun, closed = {}, set()
        while peer.receive():
            for s in [s for s in peer.streams.values() if s.headers and s.number not in begun]:
                begun[s.number] = answer_connect(peer, s)
            for s in peer.streams.values():
                if begun.get(s.number) == "closed" and s.ended and s.number not in closed:
                    closed.add(s.number)
                    peer.send(h2.data_frame(s.number, b"\x88\x02\x03\xe8", end=True))
            if "cut" in begun.values() and len(peer.streams[max(begun)].body) >= 4:
                break
        net.await_sent(c.sock)

    server = raw_server(handler)
    w = watching(server.port)
    pause = threading.Event()
    with h2.Client(server.port) as c:
        c.settle()
        closed, reset, left = (connect(c, f"/live/{what}") for what in ("closed", "reset", "client"))
        c.until(lambda: closed.headers and left.headers and reset.error is not None)
        pause.wait(0.3)  # its age
        assert c.get("/ok").status == 200
        c.send(h2.data_frame(closed.number, b"\x88\x02\x03\xe8", end=True), h2.rst_frame(left.number))
        c.wait(closed)
        cut = connect(c, "/live/cut")
        c.until(lambda: cut.headers)
        c.send(h2.data_frame(cut.number, b"\x81\x02hi"))
        while c.receive():
            pass
        assert c.end == "eof"
    server.join()
    d = w.stop()
    assert d.figures("GET /ok")["outcomes"]["answered"] == 1
    for what in ("closed", "reset", "client", "cut"):
        of = d.figures(f"CONNECT /live/{what}")
        assert of["requests"] == 1 and of["latency"]["total"]["count"] == 0, of
        how = {"closed": "closed", "reset": "reset_by_server", "client": "reset_by_client", "cut": "cut"}[what]
        assert of["streams"]["open"] == 0 and of["streams"]["oldest"] is None
        assert {k: n for k, n in of["streams"]["ended"].items() if n} == {how: 1}
        assert of["streams"]["messages"]["from_client"] == (what in ("closed", "cut"))
    assert "streams" not in d.figures("GET /ok")
    u = dict(next(v for v in d["versions"])["upgraded"])
    age = u.pop("abrupt_age")
    assert u == {"begun": 4, "closed": 1, "reset_by_server": 1, "reset_by_client": 1, "cut_by_server": 1, "timeout": 0}
    assert 0.3 <= age["max"] < 3


def test_event_streams_are_no_part_of_the_latencies_however_they_end(h2_server, watching):
    """One runs to its end, one is given up by the client, one is cut with the server; a quick one between them."""
    server = h2_server("node")
    w = watching(server.port)
    with h2.Client(server.port) as c:
        whole, given_up, cut = c.ask("GET", "/events/200/whole"), c.ask("GET", "/events/60000/up"), c.ask("GET", "/events/60000/cut")
        assert c.get("/ok").status == 200
        c.wait(whole)
        c.until(lambda: given_up.messages >= 3)
        c.send(h2.rst_frame(given_up.number))
        # All that was sent has been read: or the kernel would close by a reset.
        until(lambda: any(v[1] == "/events/60000/up" for v in server.lines()), "the server to hear of it")
        c.until(lambda: cut.messages >= 3)
        server.stop(9)
        while c.receive():
            pass
        assert c.end == "eof"
    d = w.stop()
    got = {name: {k: n for k, n in a["outcomes"].items() if n} for name, _, a in d.arms()}
    assert got == {"GET /ok": {"answered": 1}, "GET /events/{id}/whole": {"answered": 1},
                   "GET /events/{id}/up": {"reset_by_client": 1}, "GET /events/{id}/cut": {"truncated": 1}}
    for name, n in (("/ok", 1), ("/events/{id}/whole", 0), ("/events/{id}/up", 0), ("/events/{id}/cut", 0)):
        assert d.latency(f"GET {name}")["count"] == n
    assert d.figures("GET /events/{id}/up")["streams"]["messages"]["from_server"] >= 3
    s = dict(d["versions"][0]["streaming"])
    s.pop("abrupt_age")
    assert s == {"reset_by_server": 0, "reset_by_client": 1, "cut_by_server": 1, "client_abandoned": 0, "timeout": 0}
