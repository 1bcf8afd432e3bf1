# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""HTTP/2 in every form that a correct peer may choose: each stream is one exchange, with its own name and status."""
import collections

import pytest

from tw import h2, net
from tw.client import request
from tw.h2traffic import assert_h2
from tw.oracle import assert_answered, assert_counts, counts


def by_path(peer, s):
    """What the server answers: /status/503/... that status, anything else 200."""
    parts = s.headers[":path"].split("?")[0].split("/")
    peer.answer(s.number, int(parts[2]) if parts[1:2] == ["status"] else 200, b"ok\n", [("server", "exact")])


@pytest.fixture
def served(raw_server):
    """served(answer): a server that calls it for each request that is whole."""
    return lambda answer=by_path, **more: raw_server(lambda c: h2.serve(c.sock, answer, **more))


# ---- where frames are cut ------------------------------------------------------------------------------------------


def test_a_request_may_be_cut_at_any_byte(served, watching):
    """Two segments each, cut at every byte of two frames; then every byte of one is a segment of its own."""
    server = served()
    w = watching(server.port)
    n = 0
    with h2.Client(server.port) as c:
        c.settle()
        at = 1
        while True:
            s = c.new_stream()
            block = c.request_head("POST", f"/status/{(200, 404)[at % 2]}/cut", [("x-at", str(at))])
            whole = h2.header_frames(s.number, block) + h2.data_frame(s.number, b"body", end=True)
            net.send_pieces(c.sock, [whole[:at], whole[at:]] if at < len(whole) else [whole[i:i + 1] for i in range(len(whole))])
            assert c.wait(s).ended
            n, at = n + 1, at + 1
            if at > len(whole) + 1:
                break
    server.join()
    d = w.stop()
    assert_answered(d, {("POST /status/{id}/cut", 200): n // 2, ("POST /status/{id}/cut", 404): n - n // 2})
    assert_h2(d, 1, requests=n)


def test_an_answer_may_be_cut_at_any_byte(raw_server, watching):
    """And the frames of its interim answers, of its trailers, and of what belongs to no stream between them."""
    def answer(peer, s):
        n, at = s.number, int(s.headers["at"])
        block = peer.block([(":status", "103"), ("link", "</x>")])
        whole = h2.header_frames(n, block) + h2.frame(h2.PING, 0, 0, b"between.")
        whole += h2.header_frames(n, peer.block([(":status", str((200, 503)[at % 2]))]), pad=3) + h2.window_frame(0, 1)
        whole += h2.data_frame(n, b"x" * 20, pad=2) + h2.header_frames(n, peer.block([("x-sum", "1")]), end=True)
        sizes.append(len(whole))
        net.send_pieces(peer.sock, [whole[:at], whole[at:]] if at else [whole[i:i + 1] for i in range(len(whole))])

    sizes = []
    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    asked, at = 0, 0
    with h2.Client(server.port) as c:
        while not sizes or at < sizes[-1]:
            assert c.get("/cut", headers=[("at", str(at))]).ended
            asked, at = asked + 1, at + 1
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /cut", 200): asked - asked // 2, ("GET /cut", 503): asked // 2})
    assert_h2(d, 1, requests=asked)


def test_the_preface_may_be_cut_at_any_byte_and_come_with_requests(served, watching):
    server = served()
    w = watching(server.port)
    begin = h2.MAGIC + h2.settings_frame({h2.INITIAL_WINDOW: 1 << 20})
    done = []
    for at in range(len(begin) + 1):
        with h2.Client(server.port, preface=False) as c:
            s, status = c.new_stream(), (200, 404)[at % 2]
            done.append(("GET", f"/status/{status}/cut_at_{at}", status))
            whole = begin + h2.header_frames(s.number, c.request_head("GET", done[-1][1]), end=True)
            net.send_pieces(c.sock, [whole[:at], whole[at:]] if at else [whole])
            assert c.wait(s).status == status
    server.join()
    d = w.stop()
    assert_answered(d, counts(done))
    assert_h2(d, len(done), requests=len(done))


def test_hundreds_of_frames_may_be_in_a_segment(raw_server, watching):
    """300 requests in one write; all answers in one, DATA of all streams in turn."""
    n, seen = 300, []

    def answer(peer, s):
        seen.append(s)
        if len(seen) == n:
            out = [h2.header_frames(x.number, peer.block([(":status", str((200, 404, 503)[i % 3]))])) for i, x in enumerate(seen)]
            for part in range(4):
                out += [h2.data_frame(x.number, b"x" * 10, end=part == 3) for x in seen]
            peer.send(*out)

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        streams = [c.new_stream() for _ in range(n)]
        c.send(*[h2.header_frames(s.number, c.request_head("GET", f"/many/{'abc'[i % 3]}/{i}?secret=x"), end=True)
                 for i, s in enumerate(streams)])
        c.wait(*streams)
        assert all(s.ended and len(s.body) == 40 for s in streams)
    server.join()
    d = w.stop()
    assert_answered(d, {(f"GET /many/{name}/{{id}}", status): n // 3 for name, status in zip("abc", (200, 404, 503))})
    assert_h2(d, 1, requests=n)
    assert "secret" not in d.text


# ---- what frames may look like -------------------------------------------------------------------------------------


def test_padding_priorities_continuations_and_unknown_frames_change_nothing(served, watching):
    server = served()
    w = watching(server.port)
    forms = [dict(pad=0), dict(pad=255), dict(priority=(0, 255)), dict(priority=(0x80000000, 0), pad=7), dict(parts=2),
             dict(parts=9), dict(parts=10_000), dict(parts=4, pad=9, priority=(0, 1))]
    done = []
    with h2.Client(server.port) as c:
        for i, form in enumerate(forms):
            for body in (None, b"", b"x" * 300):
                done.append(("POST", f"/status/{(200, 404)[i % 2]}/{i}/form", (200, 404)[i % 2]))
                c.send(h2.priority_frame(c.next + 40), h2.frame(0xbb, 0xff, c.next + 2, b"?" * 500), h2.frame(0xbb, 0, 0),
                       h2.frame(h2.PING, 0, 0, b"pingping"), h2.window_frame(0, 1))
                s = c.ask("POST", done[-1][1], body, [("x-long", "y" * 100)], **form)
                assert c.wait(s).status == done[-1][2]
        s = c.new_stream()  # an empty CONTINUATION, and a block of which HEADERS has nothing
        block = c.request_head("GET", "/empty/pieces")
        c.send(h2.frame(h2.HEADERS, h2.END_STREAM, s.number), h2.frame(h2.CONTINUATION, 0, s.number),
               h2.frame(h2.CONTINUATION, 0, s.number, block), h2.frame(h2.CONTINUATION, h2.END_HEADERS, s.number))
        assert c.wait(s).status == 200
        done.append(("GET", "/empty/pieces", 200))
        assert c.pings == 24
    server.join()
    d = w.stop()
    assert_answered(d, counts(done))
    assert_h2(d, 1, requests=len(done))


def test_padding_and_continuations_of_answers_change_nothing(raw_server, watching):
    def answer(peer, s):
        form = forms[int(s.headers["form"])]
        block = peer.block([(":status", "418"), ("x-of", "z" * 200), ("x-form", s.headers["form"])])
        peer.send(h2.header_frames(s.number, block, **form), h2.data_frame(s.number, b"x", pad=200),
                  h2.data_frame(s.number, b"", end=True, pad=100))

    forms = [dict(), dict(pad=0), dict(pad=255), dict(parts=2), dict(parts=10_000), dict(parts=3, pad=1, priority=(0, 2))]
    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        for i in range(len(forms)):
            assert c.get("/form", headers=[("form", str(i))]).status == 418
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /form", 418): len(forms)})
    assert_h2(d, 1)


def test_interim_answers_and_trailers_are_not_the_answer(raw_server, watching):
    """The status of the final HEADERS counts, not that of a 1xx, and trailers of either side are none."""
    def answer(peer, s):
        for interim in (100, 102, 103, 103):
            peer.send(h2.header_frames(s.number, peer.block([(":status", str(interim)), ("link", "</a>")])))
        peer.answer(s.number, 207, b"xyz", trailers=[("x-status", "500"), ("server-timing", "x")])
        assert s.trailers in (None, {"x-sum": "of the request"})

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        for trailers in (None, [("x-sum", "of the request")]):
            s = c.wait(c.ask("PUT", "/interim", b"x" * 1000, trailers=trailers))
            assert s.interim == [100, 102, 103, 103] and s.status == 207 and s.trailers
    server.join()
    d = w.stop()
    assert_answered(d, {("PUT /interim", 207): 2})
    assert_h2(d, 1)


def test_methods_and_targets_are_those_of_the_pseudo_headers(served, watching):
    """Whatever order the others have, and whatever looks like them."""
    server = served()
    w = watching(server.port)
    asks = [("GET", "/"), ("PROPFIND", "/dav/x"), ("OPTIONS", "*"), ("HEAD", "/head?x=/y"), ("DELETE", "/orders/8812"),
            ("GET", "/a%2Fb/c;d=1"), ("GET", "/deadbeef-1234/x"), ("PATCH", "/x/" + "y" * 100)]
    with h2.Client(server.port) as c:
        for method, target in asks:
            s = c.new_stream()
            c.send(h2.header_frames(s.number, c.block([
                (":path", target), (":authority", "shop.example"), (":method", method), (":scheme", "https"),
                ("x-method", "EVIL"), ("path", "/evil"), ("cookie", "a=b"), ("x-http-method-override", "EVIL")]), end=True))
            assert c.wait(s).status == 200
    server.join()
    d = w.stop()
    assert_answered(d, counts((m, t, 200) for m, t in asks))


# ---- header tables -------------------------------------------------------------------------------------------------


def test_header_tables_of_any_size_are_followed(raw_server, watching):
    """Both sides allow that size and use it; names come back from the table, and fall out of it."""
    def answer(peer, s):
        peer.answer(s.number, int(s.headers["want"]), b"", [("x-path", s.headers[":path"]), ("x-fill", "f" * 30)])

    sizes, done = (0, 100, 1000, 4096, 65536), []
    server = raw_server(lambda c: h2.serve(c.sock, answer, settings={h2.TABLE_SIZE: size}, table=size))
    w = watching(server.port)
    for size in sizes:
        with h2.Client(server.port, settings={h2.TABLE_SIZE: size}) as c:
            c.settle()
            c.resize(size)
            for i in range(200):
                name = ("aa", "bb", f"z{'abcde'[i % 5]}")[i % 3]
                want = (200, 404, 200, 503, 299, 418)[i % 6]
                done.append(("GET", f"/size-{size}/{name}/{'k' * (i % 7 * 9)}", want))
                s = c.get(done[-1][1], headers=[("want", str(want)), ("x-of", name * 20), ("x-n", str(i % 50))])
                assert s.status == want
        server.join()
    d = w.stop()
    assert_answered(d, counts(done))
    assert_h2(d, len(sizes), requests=len(done))


def test_a_table_that_changes_its_size_while_in_use_is_followed(served, watching):
    """Up and down, within what the server's SETTINGS allow, between requests that use it."""
    server = served(settings={h2.TABLE_SIZE: 65536})
    w = watching(server.port)
    done = []
    with h2.Client(server.port) as c:
        c.settle()
        for i in range(120):
            if i % 7 == 0:
                c.resize((4096, 0, 60_000, 64, 300, 0, 4096)[i // 7 % 7])
            done.append(("GET", f"/status/{(200, 404)[i % 2]}/{'abcde'[i % 5]}", (200, 404)[i % 2]))
            s = c.get(done[-1][1], headers=[("x-fill", "f" * (i % 60)), ("x-i", str(i))])
            assert s.status == done[-1][2]
    server.join()
    d = w.stop()
    assert_answered(d, counts(done))
    assert_h2(d, 1)


def test_literals_of_every_kind_are_read(served, watching):
    """Never indexed, not indexed, indexed; names from the static table and spelled out; with Huffman's code and without."""
    server = served()
    w = watching(server.port)
    done = []

    def text(value):
        return bytes([len(value)]) + value

    with h2.Client(server.port) as c:
        for i, (prefix, mask) in enumerate([(0x40, 0x3f), (0x00, 0x0f), (0x10, 0x0f)] * 4):
            path = f"/literal/{'abc'[i % 3]}/{'xy'[i // 6]}"
            s = c.new_stream()
            named = bytes([prefix | 4]) if i % 2 else bytes([prefix]) + text(b":path")
            block = b"\x82\x86" + named + text(path.encode()) + bytes([prefix | 1]) + text(b"shop.example")
            c.send(h2.header_frames(s.number, block, end=True))
            assert c.wait(s).status == 200
            done.append(("GET", path, 200))
    with h2.Client(server.port) as c:
        for huffman in (False, True):
            s = c.new_stream()
            block = c.encoder.encode([(":method", "GET", True), (":scheme", "http"), (":authority", "x"),
                                      (":path", "/literal/sensitive", True)], huffman=huffman)
            c.send(h2.header_frames(s.number, block, end=True))
            assert c.wait(s).status == 200
            done.append(("GET", "/literal/sensitive", 200))
    server.join()
    d = w.stop()
    assert_answered(d, counts(done))
    assert_h2(d, 2)


# ---- streams -------------------------------------------------------------------------------------------------------


def test_pushed_streams_are_exchanges_that_begin_with_their_promise(raw_server, watching):
    """Answered, reset by the client that does not want it, reset by the server, and left open at the end."""
    ends = ("answered", "reset_by_client", "reset_by_server", "unanswered")

    def answer(peer, s):
        numbers = []
        for end in ends:
            number, peer.next = peer.next, peer.next + 2
            numbers.append(number)
            peer.send(h2.promise_frame(s.number, number, peer.block([
                (":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", f"/pushed/{end}?x=1")])))
        peer.answer(numbers[0], 203, b"pushed")
        peer.send(h2.header_frames(numbers[1], peer.block([(":status", "200")])))
        peer.send(h2.rst_frame(numbers[2], h2.INTERNAL_ERROR))
        while peer.stream(numbers[1]).error is None:
            assert peer.receive()
        peer.answer(s.number, 200, b"page")

    def handler(c):
        peer = h2.Peer(c.sock, False)
        peer.expect_magic()
        peer.preface()
        while not (s := peer.streams.get(1)) or not s.ended:
            assert peer.receive()
        answer(peer, s)
        net.await_sent(c.sock)

    server = raw_server(handler)
    w = watching(server.port)
    with h2.Client(server.port) as c:
        s = c.ask("GET", "/page")
        c.until(lambda: len(s.promises) == 4 and c.stream(s.promises[1]).headers)
        c.send(h2.rst_frame(s.promises[1]))
        c.wait(s)
        while c.receive():
            pass
        assert (c.end, c.stream(s.promises[0]).status, c.stream(s.promises[2]).error) == ("eof", 203, h2.INTERNAL_ERROR)
    server.join()
    d = w.stop()
    got = {name: {k: n for k, n in a["outcomes"].items() if n} for name, _, a in d.arms()}
    assert got == {"GET /page": {"answered": 1}, **{f"GET /pushed/{end}": {end: 1} for end in ends}}
    assert d.counts()["GET /pushed/answered", 203] == 1


def test_a_goaway_that_names_streams_to_come_refuses_none_of_them(raw_server, watching):
    """As servers that shut down in two steps say: first the largest number there is, later the last one they serve."""
    def answer(peer, s):
        if s.number == 1:
            peer.send(h2.goaway_frame(h2.LARGEST))
        if s.number == 5:
            peer.send(h2.goaway_frame(5))
        peer.answer(s.number)

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        for _ in range(3):
            assert c.get("/drained").ended
        assert c.goaway == (5, h2.NO_ERROR)
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /drained", 200): 3})
    assert_h2(d, 1, requests=3)


def test_an_answer_after_the_client_has_shut_its_side_is_an_answer(raw_server, watching):
    """TCP's half-close: the client has no more to send, and reads on."""
    def handler(c):
        peer = h2.Peer(c.sock, False)
        peer.expect_magic()
        peer.preface()
        while peer.receive():
            pass
        assert peer.end == "eof" and peer.streams[1].ended
        peer.answer(1, 200, b"late")

    server = raw_server(handler)
    w = watching(server.port)
    with h2.Client(server.port) as c:
        c.settle()
        s = c.ask("GET", "/half")
        c.half_close()
        assert c.wait(s).ended and s.status == 200
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /half", 200): 1})


def test_the_101_the_upgraded_request_and_the_streams_after_it_are_counted_once_each(raw_server, watching):
    """A 101, then the answer on stream 1; the client's preface comes before or after it. And an upgrade that is refused."""
    def handler(c):
        method, target, headers, _ = c.request()
        if target == "/refused":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
            c.read_until_close()
            return
        assert headers["upgrade"] == "h2c"
        peer = h2.Peer(c.sock, False)
        if target == "/late":
            c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            peer.preface()
        else:
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                      h2.settings_frame(), h2.header_frames(1, peer.block([(":status", "404")])), h2.data_frame(1, b"up", end=True))
        peer.buf = c.buf
        peer.expect_magic()
        if target == "/late":
            peer.answer(1, 404, b"up")
        while got := peer.receive():
            s = peer.streams.get(got[2])
            if s and s.ended and s.headers:
                by_path(peer, s)

    server = raw_server(handler)
    w = watching(server.port)
    ask = request("GET", "{}", headers=["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"])
    for target in ("/early", "/late", "/refused"):
        with h2.Client(server.port, preface=False) as c:
            c.connection.send(ask.replace(b"{}", target.encode()))
            status, headers = c.connection.head()
            if target == "/refused":
                assert status == 200
                continue
            assert status == 101
            c.buf = c.connection.buf
            c.next = 3
            c.preface()
            assert c.wait(c.stream(1)).status == 404
            for name in ("a", "b"):
                assert c.get(f"/status/503/{name}").status == 503
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /early", 101): 1, ("GET /late", 101): 1,
                        ("GET /early", 404): 1, ("GET /late", 404): 1, ("GET /refused", 200): 1,
                        ("GET /status/{id}/a", 503): 2, ("GET /status/{id}/b", 503): 2})
    assert_h2(d, 2)


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@pytest.mark.parametrize("first", ["client", "server"])
def test_what_follows_the_101_may_be_cut_at_any_byte(first, raw_server, watching):
    """The preface of the one that speaks first, and behind it what the other says, in pieces of every size; nobody speaks alone."""
    def pieces(whole, size):
        return [whole[i:i + size] for i in range(0, len(whole), size)]

    def handler(c):
        size = int(c.request()[1].split("/")[2])
        peer = h2.Peer(c.sock, False)
        settings = h2.settings_frame({h2.MAX_STREAMS: 100})
        if first == "server":
            net.send_pieces(c.sock, [UPGRADED, *pieces(settings, size)])
            peer.answer(1, 404, b"up")
        else:
            c.send(UPGRADED)
        peer.buf = c.buf
        assert peer.expect_magic()
        if first == "client":
            net.send_pieces(c.sock, pieces(settings, size))
            peer.answer(1, 404, b"up")
        while got := peer.receive():
            s = peer.streams.get(got[2])
            if s and s.ended and s.headers:
                by_path(peer, s)

    server = raw_server(handler)
    w = watching(server.port)
    sizes = range(1, 26)
    for size in sizes:
        with h2.Client(server.port, preface=False, acknowledging=False) as c:
            c.connection.send(request("GET", f"/up/{size}", headers=["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                                                                     "HTTP2-Settings: AAMAAABk"]))
            assert c.connection.head()[0] == 101
            c.buf, c.next = c.connection.buf, 3
            if first == "server":
                assert c.wait(c.stream(1)).status == 404
            net.send_pieces(c.sock, pieces(h2.MAGIC + h2.settings_frame({h2.MAX_STREAMS: 100}) + h2.SETTINGS_ACK, size))
            assert c.wait(c.stream(1)).status == 404
            assert c.get("/status/503/a").status == 503
    server.join()
    d = w.stop()
    n = len(sizes)
    assert_answered(d, {("GET /up/{id}", 101): n, ("GET /up/{id}", 404): n, ("GET /status/{id}/a", 503): n})
    assert_h2(d, n, requests=2 * n)


def test_frames_are_read_in_whatever_records_tls_puts_them(h2_server, watching):
    """A record for each byte, for each frame, one for many frames; frames that begin in one record and end in another."""
    server = h2_server("nginx", tls=True)
    w = watching(server.port)
    done = []
    for size in (1, 5, 9, 10, 50, 16_384):
        with h2.Client(server.port, tls=True) as c:
            c.settle()
            streams = [c.new_stream() for _ in range(6)]
            targets = ("/ok", "/missing/7", "/boom")
            whole = b"".join(h2.header_frames(s.number, c.request_head("POST", targets[i % 3]))
                             + h2.data_frame(s.number, b"body", end=True) for i, s in enumerate(streams))
            c.sock.sendall(*[whole[i:i + size] for i in range(0, len(whole), size)])
            c.wait(*streams)
            done += [("POST", targets[i % 3], s.status) for i, s in enumerate(streams)]
    assert collections.Counter(s for _, _, s in done) == {200: 12, 404: 12, 503: 12}
    assert_counts(counts(server.exchanges(len(done))), counts(done))
    d = w.stop()
    assert_answered(d, counts(done))
    assert_h2(d, 6, requests=36)
