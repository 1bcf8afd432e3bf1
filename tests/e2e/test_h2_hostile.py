# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Peers that flood, lie and break the protocol: the tool does bounded work, counts it, and everybody else is counted as ever."""
import random
import struct
import threading

import pytest

from tw import h2
from tw.h2traffic import assert_h2
from tw.oracle import assert_answered, counts
from tw.watch import ARMS

MIB = 1 << 20
MOST = 64 * MIB  # of memory that the tool may hold, whatever is thrown at it

SCRIPTED = {}


def hostile(play):
    SCRIPTED[play.__name__] = play
    return play


def fields(c, path="/hostile", **more):
    return c.request_head("POST", path, **more)


def opened(c, path="/hostile"):
    s = c.new_stream()
    c.send(h2.header_frames(s.number, fields(c, path)))
    return s.number


# ---- floods --------------------------------------------------------------------------------------------------------


@hostile
def settings_flood(c):
    for _ in range(200):
        c.send(h2.settings_frame({h2.TABLE_SIZE: 100, h2.MAX_STREAMS: 5}) * 100)


@hostile
def settings_of_many_entries(c):
    for _ in range(30):
        c.send(h2.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.TABLE_SIZE, 4096) * 2700))


@hostile
def acknowledgements_of_nothing(c):
    c.send(h2.SETTINGS_ACK * 5000)


@hostile
def ping_flood(c):
    for _ in range(100):
        c.send(h2.frame(h2.PING, 0, 0, b"pingping") * 100)


@hostile
def priority_flood(c):
    for i in range(100):
        c.send(*[h2.priority_frame(2 * k + 1) for k in range(100 * i, 100 * i + 100)])


@hostile
def window_flood(c):
    number = opened(c)
    for _ in range(100):
        c.send((h2.window_frame(0, 1) + h2.window_frame(number, 1)) * 100)


@hostile
def empty_data_flood(c):
    c.send(h2.data_frame(opened(c), b"") * 10_000)


@hostile
def rapid_reset(c):
    for _ in range(50):
        c.send(*[piece for s in [c.new_stream() for _ in range(50)]
                 for piece in (h2.header_frames(s.number, fields(c, "/hostile/rapid"), end=True), h2.rst_frame(s.number))])


@hostile
def many_open_streams(c):
    for _ in range(40):
        c.send(*[h2.header_frames(c.new_stream().number, fields(c, "/hostile/open")) for _ in range(50)])


@hostile
def unknown_frames(c):
    for i in range(100):
        c.send(h2.frame(0x20 + i, 0xff, i, random.Random(7).randbytes(4000)))


# ---- header blocks -------------------------------------------------------------------------------------------------


@hostile
def continuation_flood(c):
    """A header block that never ends, of frames of one byte and of none."""
    c.send(h2.frame(h2.HEADERS, 0, c.new_stream().number, fields(c)[:3]))
    for _ in range(100):
        c.send((h2.frame(h2.CONTINUATION, 0, 1, b"") + h2.frame(h2.CONTINUATION, 0, 1, b"\x82")) * 50)


@hostile
def header_block_that_grows(c):
    """2 MB of one header block."""
    c.send(h2.frame(h2.HEADERS, 0, c.new_stream().number, fields(c)))
    piece = b"\x00\x01x\x7f\x81\x7f" + b"v" * 16_384  # a literal of 16 kB
    for _ in range(128):
        c.send(h2.frame(h2.CONTINUATION, 0, 1, piece[:h2.FRAME]))


@hostile
def hpack_bomb(c):
    """One header of 4 kB in the table, which a block of 16 kB names 16,000 times: 64 MB."""
    big = b"\x40\x01x\x7f\x81\x1e" + b"v" * 4000
    s = c.new_stream()
    c.send(h2.header_frames(s.number, fields(c) + big + b"\xbe" * 12_000, end=True))
    for _ in range(4):
        s = c.new_stream()
        c.send(h2.header_frames(s.number, b"\x82\x84\x86\xbe" + b"\xbe" * 16_000, end=True))


@hostile
def oversized_header_list(c):
    for _ in range(5):
        s = c.new_stream()
        block = c.block([(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/hostile/large"),
                         *[(f"x-{i}", "v" * 1000) for i in range(100)]])
        c.send(h2.header_frames(s.number, block, end=True))


@hostile
def long_path(c):
    s = c.new_stream()
    block = c.request_head("GET", "/hostile/" + "p" * 60_000)
    c.send(h2.header_frames(s.number, block, end=True))


@hostile
def table_size_updates(c):
    s = c.new_stream()
    c.send(h2.header_frames(s.number, b"\x20\x3f\xe1\x1f" * 3000 + fields(c), end=True))


def _block(name, block):
    def play(c):
        c.send(h2.header_frames(c.new_stream().number, block, end=True))

    play.__name__ = name
    hostile(play)


for _name, _bytes in {
        "index_nought": b"\x80", "index_beyond_the_table": b"\x82\x86\xff\xff\x00", "integer_that_overflows": b"\xff" * 50,
        "string_beyond_the_block": b"\x82\x86\x44\x7f\xff\x7f/x", "huffman_of_nothing_but_ones": b"\x82\x86\x44\xff\xff\xff\xff",
        "huffman_with_padding_of_noughts": b"\x82\x86\x44\x81\x00", "table_beyond_the_settings": b"\x3f\xff\xff\x7f\x82",
        "size_update_at_the_end": b"\x82\x84\x86\x20", "nothing": b"", "random": bytes(range(7, 250)),
        "no_path": b"\x82\x86", "two_paths": b"\x82\x86\x84\x85", "status_in_a_request": b"\x82\x86\x84\x88",
        "pseudo_after_others": b"\x82\x86\x00\x01x\x01y\x84", "empty_path": b"\x82\x86\x44\x00",
        "upper_case": b"\x82\x86\x84\x00\x01X\x01y"}.items():
    _block("block_" + _name, _bytes)


# ---- frames --------------------------------------------------------------------------------------------------------


def _frames(name, make):
    def play(c):
        c.send(*make(c, c.next))

    play.__name__ = name
    hostile(play)


for _name, _make in {
        "data_on_stream_nought": lambda c, n: [h2.data_frame(0, b"x")],
        "data_on_an_idle_stream": lambda c, n: [h2.data_frame(n + 100, b"x")],
        "data_after_the_end": lambda c, n: [h2.header_frames(n, fields(c), end=True), h2.data_frame(n, b"x") * 3],
        "headers_on_an_even_stream": lambda c, n: [h2.header_frames(2, fields(c), end=True)],
        "headers_on_stream_nought": lambda c, n: [h2.header_frames(0, fields(c), end=True)],
        "headers_of_an_older_stream": lambda c, n: [h2.header_frames(n + 10, fields(c), end=True),
                                                    h2.header_frames(n, fields(c), end=True)],
        "headers_that_are_only_padding": lambda c, n: [h2.frame(h2.HEADERS, 0xd, n, b"\xff" + bytes(20))],
        "headers_too_short_for_a_priority": lambda c, n: [h2.frame(h2.HEADERS, 0x25, n, b"\0\0")],
        "data_that_is_only_padding": lambda c, n: [h2.header_frames(n, fields(c)), h2.frame(h2.DATA, 8, n, b"\x09xx")],
        "trailers_without_an_end": lambda c, n: [h2.header_frames(n, fields(c)), h2.header_frames(n, c.block([("x", "y")]))],
        "continuation_of_nothing": lambda c, n: [h2.frame(h2.CONTINUATION, 4, n, b"\x82")],
        "continuation_of_another_stream": lambda c, n: [h2.frame(h2.HEADERS, 1, n, b"\x82"),
                                                        h2.frame(h2.CONTINUATION, 4, n + 2, b"\x84\x86")],
        "data_inside_a_header_block": lambda c, n: [h2.frame(h2.HEADERS, 1, n, b"\x82"), h2.data_frame(n, b"x")],
        "promise_of_a_client": lambda c, n: [h2.promise_frame(n, 2, b"\x82\x84\x86")],
        "settings_of_five_bytes": lambda c, n: [h2.frame(h2.SETTINGS, 0, 0, b"12345")],
        "settings_on_a_stream": lambda c, n: [h2.frame(h2.SETTINGS, 0, n, b"")],
        "settings_acknowledged_with_content": lambda c, n: [h2.frame(h2.SETTINGS, 1, 0, b"123456")],
        "settings_of_impossible_values": lambda c, n: [h2.settings_frame({h2.TABLE_SIZE: 0xffffffff, h2.MAX_FRAME: 0,
                                                                         h2.INITIAL_WINDOW: 0xffffffff})],
        "ping_of_seven_bytes": lambda c, n: [h2.frame(h2.PING, 0, 0, b"1234567")],
        "rst_of_an_idle_stream": lambda c, n: [h2.rst_frame(n + 50)],
        "rst_of_three_bytes": lambda c, n: [h2.header_frames(n, fields(c)), h2.frame(h2.RST_STREAM, 0, n, b"123")],
        "goaway_of_two_bytes": lambda c, n: [h2.frame(h2.GOAWAY, 0, 0, b"12")],
        "window_of_nought": lambda c, n: [h2.window_frame(0, 0)],
        "window_that_overflows": lambda c, n: [h2.window_frame(0, h2.LARGEST) * 3],
        "frame_beyond_the_largest": lambda c, n: [b"\xff\xff\xff" + h2.frame(h2.DATA, 0, n)[3:], b"x" * 100_000],
        "bit_that_is_reserved": lambda c, n: [h2.frame(h2.HEADERS, 5, 0x80000000 + n, fields(c))],
        "last_stream_there_is": lambda c, n: [h2.header_frames(h2.LARGEST, fields(c), end=True)],
        "garbage": lambda c, n: [random.Random(7).randbytes(20_000)],
        "http1_after_the_preface": lambda c, n: [b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n" * 20],
        "half_a_frame": lambda c, n: [h2.header_frames(n, fields(c))[:7]],
}.items():
    _frames(_name, _make)


# ---- the tests -----------------------------------------------------------------------------------------------------


class Good:
    """A client that asks all the time, on one connection and on new ones."""

    def __init__(self, port, tls=None):
        self.port, self.tls, self.done = port, tls, []
        self.connections = 1
        self.kept = h2.Client(port, tls=tls)

    def round(self):
        with h2.Client(self.port, tls=self.tls) as fresh:
            for c in (self.kept, fresh):
                for target, status in (("/ok", 200), ("/missing/7", 404)):
                    assert c.get(target).status == status
                    self.done.append(("GET", target, status))
        self.connections += 1

    def close(self):
        self.kept.close()


def play_against(server, play, tls=None):
    """A hostile client, on a connection of its own, until it has said all or the server has had enough."""
    with h2.Client(server.port, tls=tls) as c:
        c.settle()
        reading = threading.Thread(target=_read_away, args=(c,), daemon=True)
        if not tls:
            reading.start()
        try:
            play(c)
        except OSError:
            pass  # the server has closed
        try:
            c.half_close()
        except OSError:
            pass
        if tls:
            _read_away(c)
        else:
            reading.join()


def _read_away(c):
    try:
        while c.sock.recv(262144):
            pass
    except OSError:
        pass


def memory(document):
    return document["overhead"]["agent_rss_bytes"]


def check_good(document, good, arm):
    """Those who behave are counted to the last request, whatever the others are counted as."""
    expected = counts(good.done)
    assert {k: n for k, n in document.counts(arm).items() if k in expected} == expected
    assert memory(document) < MOST, f"{memory(document) / MIB:.0f} MiB"
    for name in ("GET /ok", "GET /missing/{id}"):
        figures = document.figures(name, arm)
        assert figures["requests"] == figures["outcomes"]["answered"] == len(good.done) // 2


def test_hostile_clients_hurt_nobody(h2_server, watching_each):
    """Every one of them against nginx, and between them a client that behaves; over plaintext, then over TLS."""
    several = [h2_server("nginx"), h2_server("nginx", tls=True)]
    w = watching_each(*several)
    goods = []
    for server, tls in zip(several, (None, True)):
        good = Good(server.port, tls)
        for play in SCRIPTED.values():
            good.round()
            play_against(server, play, tls)
            assert server.child.alive(), play.__name__
        good.round()
        good.close()
        goods.append(good)
    d = w.stop()
    for arm, good in zip(ARMS, goods):
        check_good(d, good, arm)
    of = d["coverage"]["http2"]
    assert of["connections"] == sum(g.connections for g in goods) + 2 * len(SCRIPTED), d
    assert of["malformed"] >= 20, of


@pytest.mark.harness
def test_the_hostile_clients_are_understood_as_such(h2_server):
    """nginx ends the connection of most of them, or the stream: the bytes are as bad as they are meant to be."""
    server, ended = h2_server("nginx"), set()
    for name, play in SCRIPTED.items():
        with h2.Client(server.port, timeout=1) as c:
            c.settle()
            try:
                play(c)
                c.send(h2.frame(h2.PING, 0, 0, b"alive?!?"))
                c.until(lambda: c.pings or c.goaway)
            except (OSError, AssertionError):
                ended.add(name)
            if c.goaway or any(s.error is not None or s.status == 400 for s in c.streams.values()):
                ended.add(name)
    with h2.Client(server.port) as c:
        assert c.get("/ok").status == 200
    assert len(ended) > len(SCRIPTED) // 2, set(SCRIPTED) - ended
    print(sorted(set(SCRIPTED) - ended))


def test_a_rapid_reset_is_counted_stream_by_stream(raw_server, watching):
    """20,000 streams, each reset in the segment that opens it."""
    n, step = 20_000, 100
    server = raw_server(lambda c: h2.serve(c.sock, lambda peer, s: None))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        c.settle()
        for _ in range(n // step):
            c.send(*[piece for s in [c.new_stream() for _ in range(step)]
                     for piece in (h2.header_frames(s.number, c.request_head("GET", "/rapid"), end=True),
                                   h2.rst_frame(s.number))])
    server.join()
    d = w.stop()
    assert d.figures("GET /rapid")["cut"]["reset_by_client"]["before_first_byte"] == n
    assert d.outcomes() == {"reset_by_client": n}
    assert_h2(d, 1, requests=n)
    assert memory(d) < MOST


def test_streams_beyond_what_is_followed_are_shed_and_counted(raw_server, watching):
    """30,000 at once on one connection, none of them answered; another connection is counted as ever."""
    n, step = 30_000, 200

    def answer(peer, s):
        if s.headers[":path"] == "/ok":
            peer.answer(s.number)

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    with h2.Client(server.port) as good, h2.Client(server.port) as c:
        c.settle()
        for _ in range(n // step):
            c.send(*[h2.header_frames(c.new_stream().number, c.request_head("GET", "/open"), end=True) for _ in range(step)])
            assert good.get("/ok").status == 200
    server.join()
    d = w.stop(lossless=False)
    of, http2 = d.figures("GET /open"), d["coverage"]["http2"]
    assert d.counts() == {("GET /ok", 200): n // step}
    assert http2["requests"] == n + n // step
    shed = http2["shed"]
    assert of["outcomes"]["client_abandoned"] + shed == n and of["outcomes"]["client_abandoned"] > 0, d
    assert memory(d) < MOST


def test_many_connections_with_full_tables_stay_within_the_memory(raw_server, watching):
    """100 connections whose tables of 64 kB are full on both sides, all open at once."""
    n, large = 100, [(f"x-{i}", "v" * 3000) for i in range(21)]

    def answer(peer, s):
        if s.headers[":path"] == "/full":
            peer.send(h2.header_frames(s.number, peer.block([(":status", "200"), *large], huffman=False), end=True))
        else:
            peer.answer(s.number)

    def handler(c):
        peer = h2.serve(c.sock, answer, settings={h2.TABLE_SIZE: 65536}, table=65536)
        assert peer.end == "eof"

    server = raw_server(handler)
    w = watching(server.port)
    clients = []
    for _ in range(n):
        c = h2.Client(server.port, settings={h2.TABLE_SIZE: 65536})
        clients.append(c)
        c.settle()
        c.resize(65536)
        s = c.new_stream()
        c.send(h2.header_frames(s.number, c.block([
            (":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/full"), *large], huffman=False), end=True))
        assert c.wait(s).status == 200
    for c in clients:
        assert c.get("/last").status == 200
        c.close()
    server.join()
    d = w.stop(lossless=False)
    assert d.requests() == 2 * n and memory(d) < MOST
    got, http2 = d.counts(), d["coverage"]["http2"]
    assert set(got) <= {("GET /full", 200), ("GET /last", 200), ("(unknown)", 200)}
    # What is not known by its name has been told of as shed, or as a block that was too large.
    assert got.get(("GET /last", 200), 0) == n or http2["shed"] + http2["unknown"] > 0, d


def _server_frames():
    """What a server may not say, on stream 1, which is asked."""
    return {
        "no_status": lambda p: [h2.header_frames(1, p.block([("x", "y")]), end=True)],
        "a_status_of_letters": lambda p: [h2.header_frames(1, p.block([(":status", "abc")]), end=True)],
        "a_status_of_four_digits": lambda p: [h2.header_frames(1, p.block([(":status", "2000")]), end=True)],
        "data_before_headers": lambda p: [h2.data_frame(1, b"x", end=True)],
        "headers_of_a_stream_nobody_asked": lambda p: [h2.header_frames(77, p.block([(":status", "200")]), end=True)],
        "a_promise_with_an_odd_number": lambda p: [h2.promise_frame(1, 7, b"\x82\x84\x86")],
        "a_promise_of_three_bytes": lambda p: [h2.frame(h2.PUSH_PROMISE, 4, 1, b"123")],
        "an_interim_answer_with_an_end": lambda p: [h2.header_frames(1, p.block([(":status", "103")]), end=True)],
        "a_thousand_interim_answers": lambda p: [h2.header_frames(1, p.block([(":status", "103")]))] * 1000,
        "goaway_that_rises": lambda p: [h2.goaway_frame(0, h2.INTERNAL_ERROR), h2.goaway_frame(99)],
        "a_block_that_is_none": lambda p: [h2.header_frames(1, b"\xff" * 40, end=True)],
        "garbage": lambda p: [random.Random(7).randbytes(5000)],
        "http1": lambda p: [b"HTTP/1.1 500 no\r\n\r\n"],
    }


def test_hostile_servers_hurt_no_other(h2_server, raw_server, watching):
    """Seen at a server that is broken, beside one that is not."""
    names = list(_server_frames())

    def handler(c):
        peer = h2.Peer(c.sock, False)
        if not peer.expect_magic():
            return
        peer.preface()
        while not (s := peer.streams.get(1)) or not s.ended:
            if not peer.receive():
                return
        peer.send(*_server_frames()[s.headers[":path"][1:]](peer))
        while c.sock.recv(65536):
            pass

    server = raw_server(handler)
    good = h2_server("nginx")
    w = watching(versions={"bad": ("baseline", {"listen": f"127.0.0.1:{server.port}"}),
                           "good": ("canary", {"listen": f"127.0.0.1:{good.port}"})}, serving=[server.port, good.port])
    for name in names:
        with h2.Client(server.port) as c, h2.Client(good.port) as other:
            c.ask("GET", f"/{name}")
            assert other.get("/ok").status == 200
            c.half_close()
            _read_away(c)
    server.join()
    d = w.stop()
    assert_answered(d, {("GET /ok", 200): len(names)}, "canary")
    for name in names:
        assert d.figures(f"GET /{name}")["requests"] == 1
    assert d.requests("baseline") == len(names)
    assert d["coverage"]["http2"]["malformed"] >= 6
