# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""HTTP/1 as it may lawfully arrive: each request counted once, under its own endpoint, with its own status."""
import threading

import pytest

from tw.client import Client, ask, chunked, request
from tw.oracle import assert_answered, counts
from tw.servers import answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def splits(data):
    """Every way to cut data in two."""
    return [(data[:i], data[i:]) for i in range(1, len(data))]


def test_keep_alive_requests_are_each_counted_once_on_one_connection(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        for i in range(50):
            c.ask("GET", ("/ok", "/missing", "/boom")[i % 3])
    d = w.stop()
    assert_answered(d, counts(server.exchanges(50)))
    assert [d.connections(f"GET /{t}") for t in ("ok", "missing", "boom")] == [1, 1, 1]
    assert d["coverage"]["connections"] == d["coverage"]["decoded"] == 1


def test_connection_close_counts_one_request_a_connection(nginx, watching):
    server = nginx()
    w = watching(server.port)
    for _ in range(30):
        ask(server.port, "GET", "/ok", headers=["Connection: close"])
    d = w.stop()
    assert_answered(d, counts(server.exchanges(30)))
    assert d.connections("GET /ok") == 30


def test_http_1_0_is_counted_with_and_without_keep_alive(nginx, watching):
    server = nginx()
    w = watching(server.port)
    for _ in range(5):
        assert ask(server.port, "GET", "/ok", version="1.0").status == 200
    with Client(server.port) as c:
        for _ in range(5):
            c.ask("GET", "/missing", version="1.0", headers=["Connection: keep-alive"])
    d = w.stop()
    assert_answered(d, counts(server.exchanges(10)))


@pytest.mark.parametrize("deep", [3, 50])
def test_pipelined_requests_in_one_segment_each_keep_their_own_status(nginx, watching, deep):
    server = nginx()
    targets = ["/ok" if i % 3 else "/missing" for i in range(deep)]
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"".join(request("GET", t) for t in targets))
        for t in targets:
            assert c.answer().status == (404 if t == "/missing" else 200)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(deep)))


@pytest.mark.parametrize("deep", [3, 50])
def test_pipelined_requests_in_segments_of_their_own_each_keep_their_own_status(nginx, watching, deep):
    server = nginx()
    targets = ["/ok" if i % 3 else "/missing" for i in range(deep)]
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(*[request("GET", t) for t in targets])
        for t in targets:
            assert c.answer().status == (404 if t == "/missing" else 200)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(deep)))


def test_pipelined_requests_cut_at_arbitrary_places_each_keep_their_own_status(nginx, watching):
    server = nginx()
    targets = [f"/{t}/{i}" for i in range(4) for t in ("ok", "missing", "boom")]
    stream = b"".join(request("GET", t) for t in targets)
    w = watching(server.port)
    for size in (7, 33, 64, 100):
        with Client(server.port) as c:
            c.send(*[stream[i:i + size] for i in range(0, len(stream), size)])
            for _ in targets:
                c.answer()
    d = w.stop()
    assert_answered(d, counts(server.exchanges(4 * len(targets))))


def test_pipelined_posts_with_bodies_and_responses_that_come_all_at_once(raw_server, watching):
    n = 10

    def handler(c):
        for _ in range(n):
            c.request()
        c.send(b"".join(OK if i % 2 else OK.replace(b"200 OK", b"503 No") for i in range(n)))
        c.request()

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"".join(request("POST", "/odd" if i % 2 else "/even", b"x" * (i * 700)) for i in range(n)))
        for _ in range(n):
            c.answer()
    d = w.stop()
    assert_answered(d, {("POST /odd", 200): 5, ("POST /even", 503): 5})


def test_a_request_head_may_be_split_at_every_byte(nginx, watching):
    server = nginx()
    head = request("GET", "/missing/split?q=1", headers=["X-A: b"])
    w = watching(server.port)
    for pieces in splits(head):
        with Client(server.port) as c:
            c.send(*pieces)
            assert c.answer().status == 404
    d = w.stop()
    assert_answered(d, counts(server.exchanges(len(head) - 1)))


def test_a_request_may_come_one_byte_a_segment(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        for target in ("/ok", "/missing"):
            c.send(*[bytes([b]) for b in request("GET", target)])
            c.answer()
    d = w.stop()
    assert_answered(d, counts(server.exchanges(2)))


def test_the_second_request_of_a_connection_may_be_split_at_every_byte(nginx, watching):
    server = nginx()
    head = request("DELETE", "/boom/2")
    w = watching(server.port)
    for pieces in splits(head):
        with Client(server.port) as c:
            c.ask("GET", "/ok")
            c.send(*pieces)
            assert c.answer().status == 503
    d = w.stop()
    assert_answered(d, counts(server.exchanges(2 * (len(head) - 1))))


def test_a_response_head_may_be_split_at_every_byte(raw_server, watching):
    whole = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"
    answers = {f"/split/{i}": pieces for i, pieces in enumerate(splits(whole))}
    server = raw_server(answering(answers))
    w = watching(server.port)
    for target in answers:
        with Client(server.port) as c:
            assert c.ask("GET", target).status == 404
            assert c.ask("GET", target).status == 404
    d = w.stop()
    assert_answered(d, {("GET /split/{id}", 404): 2 * len(answers)})


def test_bodies_by_content_length_are_passed_over_both_ways(nginx, watching):
    server = nginx()
    server.file("big", b"x" * 300_000)
    w = watching(server.port)
    with Client(server.port) as c:
        for size in (1, 1000, 65_536, 1_000_000):
            assert c.ask("POST", "/ok", b"b" * size).status == 200
            assert len(c.ask("GET", "/files/big").body) == 300_000
    d = w.stop()
    assert_answered(d, counts(server.exchanges(8)))


def test_a_request_body_may_be_split_from_its_head_and_in_itself(nginx, watching):
    server = nginx()
    whole = request("POST", "/ok", b"0123456789")
    at = whole.index(b"0123456789")
    w = watching(server.port)
    for i in range(at - 5, len(whole)):
        with Client(server.port) as c:
            c.send(whole[:i], whole[i:])
            c.answer()
            c.ask("GET", "/missing")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(2 * (len(whole) - at + 5))))


def test_a_chunked_request_may_be_split_at_every_byte(raw_server, watching):
    bodies = []

    def handler(c):
        while got := c.request():
            bodies.append(got[3])
            c.send(OK)

    server = raw_server(handler)
    head = request("POST", "/chunks", headers=["Transfer-Encoding: chunked"])
    whole = head + chunked([b"GET /evil HTTP/1.1\r\n\r\n", b"y" * 17])
    w = watching(server.port)
    for i in range(len(head), len(whole)):
        with Client(server.port) as c:
            c.send(whole[:i], whole[i:])
            c.answer()
            c.ask("GET", "/after")
    server.join()
    d = w.stop()
    n = len(whole) - len(head)
    assert bodies.count(b"GET /evil HTTP/1.1\r\n\r\n" + b"y" * 17) == n
    assert_answered(d, {("POST /chunks", 200): n, ("GET /after", 200): n})


def test_a_chunked_response_may_be_split_at_every_byte(raw_server, watching):
    head = b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = head + chunked([b"HTTP/1.1 500 no\r\n\r\n", b"z" * 300])
    answers = {f"/chunks/{i}": (whole[:i], whole[i:]) for i in range(len(head) - 3, len(head) + 40)}
    answers |= {f"/chunks/{i}": (whole[:i], whole[i:]) for i in range(len(whole) - 12, len(whole))}
    server = raw_server(answering(answers))
    w = watching(server.port)
    for target in answers:
        with Client(server.port) as c:
            c.ask("GET", target)
            c.ask("GET", target)
    d = w.stop()
    assert_answered(d, {("GET /chunks/{id}", 201): 2 * len(answers)})


def test_chunk_extensions_and_trailers_do_not_confuse(raw_server, watching):
    def handler(c):
        while got := c.request():
            assert got[3] in (b"hello", b"")
            c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
                   b"5;name=value;q=\"HTTP/1.1 500\"\r\nhello\r\n0\r\nX-T: v\r\n\r\n")

    server = raw_server(handler)
    body = b"5;ext=1\r\nhello\r\n0\r\nX-Trailer: GET /evil HTTP/1.1\r\n\r\n"
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(5):
            c.send(request("POST", "/ext", headers=["Transfer-Encoding: chunked"]) + body)
            c.answer()
            c.ask("GET", "/after")
    server.join()
    d = w.stop()
    assert_answered(d, {("POST /ext", 200): 5, ("GET /after", 200): 5})


def test_a_response_body_until_close_is_answered_not_truncated(raw_server, watching):
    def handler(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"one", b"HTTP/1.1 500 no\r\n\r\n", b"three")

    server = raw_server(handler)
    w = watching(server.port)
    for _ in range(10):
        assert ask(server.port, "GET", "/until-close").body.endswith(b"three")
    d = w.stop()
    assert_answered(d, {("GET /until-close", 200): 10})
    assert d.outcomes() == {"answered": 10}


def test_answers_without_a_body_leave_the_connection_readable(raw_server, watching):
    """HEAD announces a length it does not send; 204 and 304 have no body whatever they announce."""
    def handler(c):
        while got := c.request():
            if got[0] == "HEAD":
                c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            elif got[1] == "/unchanged":
                c.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")
            elif got[1] == "/empty":
                c.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                c.send(OK)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(5):
            c.ask("HEAD", "/ok")
            c.ask("GET", "/unchanged")
            c.ask("GET", "/empty")
            c.ask("GET", "/ok")
    server.join()
    d = w.stop()
    assert_answered(d, {("HEAD /ok", 200): 5, ("GET /unchanged", 304): 5, ("GET /empty", 204): 5,
                               ("GET /ok", 200): 5})
    assert d.outcomes() == {"answered": 20}


def test_pipelined_answers_without_a_body_keep_their_order(nginx, watching):
    server = nginx()
    asked = [("HEAD", "/ok"), ("GET", "/empty"), ("GET", "/unchanged"), ("HEAD", "/missing"), ("GET", "/boom")] * 4
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"".join(request(m, t) for m, t in asked))
        for m, _ in asked:
            c.answer(m)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(len(asked))))


def test_expect_100_continue_counts_the_final_status_only(nginx, watching, tmp_path, started):
    from tw import servers

    app = started(servers.app(tmp_path))
    server = nginx(server=f"location /up {{ proxy_pass http://127.0.0.1:{app.port}; }}")
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(5):
            c.send(request("POST", "/up/load", headers=["Expect: 100-continue", "Content-Length: 5"]))
            status, _ = c.head()
            assert status == 100
            c.sock.sendall(b"hello")
            assert c.answer().status == 200
            c.ask("GET", "/ok")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(10)))


def test_early_hints_are_not_the_answer(raw_server, watching):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

    def handler(c):
        while got := c.request():
            if got[1] == "/together":
                c.send(hints + hints + OK)
            else:
                c.send(hints, hints, OK)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(5):
            assert c.ask("GET", "/together").interim == [103, 103]
            assert c.ask("GET", "/apart").interim == [103, 103]
    d = w.stop()
    assert_answered(d, {("GET /together", 200): 5, ("GET /apart", 200): 5})


def test_an_upgraded_connection_leaves_http(raw_server, watching):
    def handler(c):
        assert c.request()[1] == "/socket"
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        for _ in range(3):
            c.sock.recv(1000)
            c.send(OK)
        c.read_until_close()

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(request("GET", "/socket", headers=["Connection: Upgrade", "Upgrade: websocket"]))
        assert c.answer().status == 101
        for _ in range(3):
            c.send(request("GET", "/fake"))
            assert c.answer().status == 200
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /socket", 101): 1})
    assert d.requests() == 1
    assert d["coverage"]["upgraded"] == 1
    assert d["coverage"]["desynchronised"] == 0


def test_a_connect_tunnel_leaves_http(raw_server, watching):
    def handler(c):
        assert c.request()[0] == "CONNECT"
        c.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        c.sock.recv(1000)
        c.send(OK)
        c.read_until_close()

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(request("CONNECT", "shop.example:443"))
        assert c.head()[0] == 200
        c.send(request("GET", "/fake"))
        c.answer()
    d = w.stop()
    assert d.requests() == 1 and d.by_status() == {200: 1}
    assert d["coverage"]["upgraded"] == 1


def test_bodies_that_look_like_http_are_bodies(raw_server, watching):
    fake_request = request("GET", "/evil")
    fake_answer = b"HTTP/1.1 500 evil\r\nContent-Length: 0\r\n\r\n"
    length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (3 * len(fake_answer))

    def handler(c):
        while got := c.request():
            assert got[3] == 3 * fake_request
            c.send(length, fake_answer, fake_answer, fake_answer)

    server = raw_server(handler)
    head = request("POST", "/honest", headers=[f"Content-Length: {3 * len(fake_request)}"])
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(5):
            c.send(head, fake_request, fake_request, fake_request)
            assert c.answer().body == 3 * fake_answer
    server.join()
    d = w.stop()
    assert_answered(d, {("POST /honest", 200): 5})
    assert d.requests() == 5


def test_chunks_that_look_like_http_are_chunks(raw_server, watching):
    fake_answer = b"HTTP/1.1 500 evil\r\nContent-Length: 0\r\n\r\n"
    chunk = b"%x\r\n" % len(fake_answer)

    def handler(c):
        while c.request():
            c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, fake_answer, b"\r\n" + chunk,
                   fake_answer, b"\r\n0\r\n\r\n")

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(5):
            assert c.ask("GET", "/honest").body == 2 * fake_answer
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /honest", 200): 5})
    assert d.requests() == 5


def test_an_answer_before_the_request_body_is_complete_is_one_exchange(raw_server, watching):
    body = b"x" * 100_000
    answered = threading.Event()

    def handler(c):
        while got := c.request_head():
            if got[0] == "POST":
                c.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
                answered.set()
                assert c.exactly(len(body)) == body
            else:
                c.send(OK)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(5):
            c.send(request("POST", "/early", headers=[f"Content-Length: {len(body)}"]), body[:1000])
            assert c.answer().status == 413
            c.send(body[1000:])
            c.ask("GET", "/after")
    server.join()
    assert answered.is_set()
    d = w.stop()
    assert_answered(d, {("POST /early", 413): 5, ("GET /after", 200): 5})
    assert d.outcomes() == {"answered": 10}


def test_bare_newlines_and_blank_lines_before_a_request_are_tolerated(nginx, watching):
    """RFC 9112 §2.2: a server should ignore an empty line before the request line, and may take a bare LF."""
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(3):
            c.send(b"\r\n" + request("GET", "/ok"))
            c.answer()
            c.send(b"GET /missing HTTP/1.1\nHost: x\n\n")
            c.answer()
    d = w.stop()
    assert_answered(d, counts(server.exchanges(6)))


@pytest.mark.parametrize("side", ["request", "response"])
def test_a_head_of_thirty_kilobytes_is_read_to_its_framing_header(raw_server, watching, side):
    """nginx takes 32 KB of request head as it is configured by default, Node 16 KB in all."""
    rq, rs = (30_000, 10) if side == "request" else (10, 30_000)
    server = raw_server(answering(
        {"/long": b"HTTP/1.1 200 OK\r\nX-Pad: " + b"p" * rs + b"\r\nContent-Length: 3\r\n\r\nok\n"}))
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(4):
            c.send(request("POST", "/long", b"body", headers=[f"X-Pad: {'q' * rq}"]))
            c.answer()
    d = w.stop()
    assert_answered(d, {("POST /long", 200): 4})


@pytest.mark.parametrize("side", ["request", "response"])
def test_a_head_of_sixty_kilobytes_costs_at_most_its_own_exchange(raw_server, watching, side):
    rq, rs = (60_000, 10) if side == "request" else (10, 60_000)
    server = raw_server(answering(
        {"/ok": OK, "/long": b"HTTP/1.1 200 OK\r\nX-Pad: " + b"p" * rs + b"\r\nContent-Length: 3\r\n\r\nok\n"}))
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(4):
            c.send(request("GET", "/long", headers=[f"X-Pad: {'q' * rq}"]))
            c.answer()
            c.ask("GET", "/ok")
    d = w.stop()
    assert d.counts().get(("GET /ok", 200), 0) == 4, d


def test_more_requests_in_flight_than_can_be_kept_are_said_to_be_unobserved(raw_server, watching):
    """No limit is silent: the connection counts as desynchronised, and is found again afterwards."""
    deep = 300

    def handler(c):
        for _ in range(deep):
            c.request()
        c.send(OK * deep)
        while c.request():
            c.send(OK)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(request("GET", "/flood") * deep)
        for _ in range(deep):
            c.answer()
        for _ in range(5):
            c.ask("GET", "/after")
    d = w.stop(lossless=False)
    assert d.counts().get(("GET /after", 200), 0) == 5, d
    assert d["coverage"]["complete"] is False
    assert d["coverage"]["desynchronised"] == 1, d
    assert d.outcomes() == {"unobserved": 128, "answered": 5}, d


def test_the_end_of_an_answer_is_reported_though_the_connection_idles(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as a, Client(server.port) as b:
        a.ask("GET", "/ok")
        b.ask("GET", "/missing")
        d = w.stop(idle=True)
    assert_answered(d, counts(server.exchanges(2)))
    assert d.outcomes() == {"answered": 2}
