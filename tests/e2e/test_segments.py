# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
TCP as networks deliver it: crafted segments through a TUN device against a real nginx. Whatever the order and number of
the segments, the kernel hands nginx each request once, and nginx's log is what must have been counted.
"""
import ctypes
import os
import pathlib
import subprocess

import pytest

from tw.client import ask, request
from tw.oracle import assert_counts, counts
from tw.rawtcp import ACK, FIN, PSH, RawTcp

OK_BODY = b"\r\n\r\nok\n"


@pytest.fixture
def tapped(nginx, tun, watching):
    """A watched nginx and a way to open crafted connections to it."""

    class Tapped:
        def __init__(self, options=""):
            self.server = nginx(host=tun.server, options=options)
            self.watch = watching(self.server.port, host=tun.server)

        def connection(self, **options):
            return RawTcp(tun, self.server.port, **options)

        def check(self, n):
            d = self.watch.stop()
            exchanges = self.server.exchanges(n)
            assert len(exchanges) == n
            assert_counts(d.counts(), counts(exchanges))
            assert d.requests() == n and d.outcomes() == {"answered": n}
            # Right by luck, having lost the thread meanwhile, is not right.
            assert d["coverage"]["desynchronised"] == d["coverage"]["not_http"] == 0, d
            return d

    return Tapped


@pytest.mark.parametrize("options", ["", "deferred"])
def test_a_request_in_the_handshakes_last_ack_is_counted(tapped, options):
    t = tapped(options)
    for i in range(10):
        c = t.connection().connect(request("GET", "/missing" if i % 2 else "/ok"))
        c.wait_received(b"HTTP/1.1 ")
        c.segment(request("GET", "/boom"))
        c.wait_received(b"HTTP/1.1 503")
        c.close()
    t.check(20)


def test_half_a_request_in_the_handshakes_last_ack_is_counted(tapped):
    t = tapped()
    whole = request("GET", "/missing/half")
    for i in range(1, len(whole), 5):
        c = t.connection().connect(whole[:i])
        c.wait_acked()
        c.segment(whole[i:])
        c.wait_received(b"HTTP/1.1 404")
        c.close()
    t.check(len(range(1, len(whole), 5)))


def test_two_requests_in_the_handshakes_last_ack_are_counted(tapped):
    t = tapped()
    c = t.connection().connect(request("GET", "/ok") + request("GET", "/missing"))
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(2)


def test_the_handshakes_last_ack_with_data_may_come_twice(tapped):
    t = tapped()
    r = request("GET", "/ok")
    c = t.connection().connect(r)
    c.segment(r, at=0)
    c.wait_received(OK_BODY)
    c.segment(r)
    c.wait_received(OK_BODY, 2)
    c.close()
    t.check(2)


@pytest.mark.parametrize("options", ["", "deferred"])
def test_a_body_may_overtake_its_head_and_the_handshakes_last_ack(tapped, options):
    """The first segment of the connection that arrives is one of the middle."""
    t = tapped(options)
    for length in (100, 1400):
        whole = request("POST", "/ok", b"y" * (1000 + length))
        at = len(whole) - length
        c = t.connection().connect(last_ack=False)
        c.segment(whole[at:], at=at)
        c.segment(whole[:at], at=0)
        c.sent = len(whole)
        c.wait_received(OK_BODY)
        c.segment(request("GET", "/missing"))
        c.wait_received(b"HTTP/1.1 404")
        c.close()
    t.check(4)


@pytest.mark.parametrize("last_ack", [True, False])
def test_a_close_that_overtakes_the_request_is_the_clients(raw_server, tun, watching, last_ack):
    server = raw_server(lambda c: (c.request(), c.sock.recv(1)), host=tun.server)
    w = watching(server.port, host=tun.server)
    r = request("GET", "/pay")
    c = RawTcp(tun, server.port).connect(last_ack=last_ack)
    c.segment(b"", at=len(r), flags=FIN | ACK)
    c.segment(r)
    c.sent += 1
    c.wait(lambda: c.finished, "the server's FIN")
    d = w.stop()
    assert d.requests() == 1 and d.outcomes() == {"client_abandoned": 1}


def test_clients_of_a_deferred_listener_are_counted(tapped, tun):
    t = tapped("deferred")
    for _ in range(10):
        assert ask(t.server.port, "GET", "/ok", host=tun.server).status == 200
    t.check(10)


@pytest.mark.parametrize("options", ["deferred", "deferred reuseport"])
def test_clients_of_a_deferred_listener_are_counted_over_ipv6(ipv6, nginx, watching, options):
    server = nginx(host="::1", options=options)
    w = watching(server.port, host="::1")
    for _ in range(10):
        assert ask(server.port, "GET", "/ok", host="::1").status == 200
    assert_counts(w.stop().counts(), counts(server.exchanges(10)))


CLONE_NEWNET = 0x40000000


@pytest.fixture
def cookies():
    """A network namespace in which every handshake is answered with a SYN cookie: nothing is kept of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert not libc.unshare(CLONE_NEWNET), os.strerror(ctypes.get_errno())
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        pathlib.Path("/proc/sys/net/ipv4/tcp_syncookies").write_text("2")
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)


def cookies_taken():
    names, values = [line.split() for line in open("/proc/thread-self/net/netstat") if line.startswith("TcpExt")]
    return int(values[names.index("SyncookiesRecv")])


@pytest.mark.parametrize("options", ["", "reuseport"])
def test_a_request_in_the_handshakes_last_ack_is_counted_where_that_is_a_cookie(cookies, tapped, options):
    t = tapped(options)
    for i in range(10):
        c = t.connection().connect(request("GET", "/missing" if i % 2 else "/ok"))
        c.wait_received(b"HTTP/1.1 ")
        c.close()
    assert cookies_taken() >= 10
    t.check(10)


def test_a_retransmitted_request_is_counted_once(tapped):
    t = tapped()
    c = t.connection().connect()
    for _ in range(5):
        r = request("GET", "/ok")
        start = c.sent
        c.segment(r)
        c.segment(r, at=start)
        c.segment(r, at=start)
        c.wait_received(OK_BODY, _ + 1)
        c.segment(r, at=start)
    c.close()
    t.check(5)


def test_a_retransmission_long_after_the_answer_is_not_a_request(tapped):
    t = tapped()
    c = t.connection().connect()
    r = request("GET", "/ok")
    for i in range(3):
        c.segment(r)
        c.wait_received(OK_BODY, i + 1)
    for start in (0, len(r), 0):
        c.segment(r, at=start)
    c.segment(request("GET", "/missing"))
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(4)


def test_the_halves_of_a_request_may_swap_at_every_byte(tapped):
    t = tapped()
    r = request("GET", "/missing/swap")
    for i in range(1, len(r), 3):
        c = t.connection().connect()
        c.segment(r[i:], at=i)
        c.segment(r[:i], at=0)
        c.sent = len(r)
        c.wait_received(b"HTTP/1.1 404")
        c.segment(request("GET", "/ok"))
        c.wait_received(OK_BODY)
        c.close()
    t.check(2 * len(range(1, len(r), 3)))


def test_pipelined_requests_may_arrive_in_any_order(tapped):
    t = tapped()
    rs = [request("GET", x) for x in ("/ok", "/missing", "/boom", "/ok/1")]
    starts = [sum(map(len, rs[:i])) for i in range(len(rs))]
    orders = [(1, 0, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (0, 3, 1, 2)]
    for order in orders:
        c = t.connection().connect()
        for i in order:
            c.segment(rs[i], at=starts[i])
        c.sent = starts[-1] + len(rs[-1])
        c.wait_received(b"HTTP/1.1 ", 4)
        c.close()
    t.check(4 * len(orders))


def test_overlapping_segments_are_counted_by_their_new_bytes(tapped):
    t = tapped()
    two = request("GET", "/ok") + request("GET", "/missing")
    c = t.connection().connect()
    for start, end in ((0, 10), (5, 30), (0, 40), (35, 60), (20, len(two))):
        c.segment(two[start:end], at=start)
    c.sent = len(two)
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(2)


def test_a_retransmission_that_also_carries_the_next_request_is_counted_by_its_new_bytes(tapped):
    t = tapped()
    a, b = request("GET", "/ok"), request("GET", "/missing")
    c = t.connection().connect()
    c.segment(a)
    c.segment(a + b, at=0)
    c.sent = len(a) + len(b)
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(2)


@pytest.mark.parametrize("segments", [3, 10])
def test_body_segments_may_be_reordered_and_doubled(tapped, segments):
    """A lost segment of a window of ten (RFC 6928) has nine behind it."""
    t = tapped()
    body = (b"GET /evil HTTP/1.1\r\n\r\n" * 1000)[:1000 * segments]
    whole = request("POST", "/ok", body)
    pieces = [(i, whole[i:i + 1000]) for i in range(0, len(whole), 1000)]
    c = t.connection().connect()
    c.segment(pieces[0][1], at=0)
    for start, data in reversed(pieces[1:]):
        c.segment(data, at=start)
        c.segment(data, at=start)
    c.sent = len(whole)
    c.wait_received(OK_BODY)
    c.segment(request("GET", "/missing"))
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(2)


def test_an_answer_that_the_server_sends_again_is_counted_once(tapped):
    t = tapped()
    c = t.connection().connect()
    c.acknowledging = False
    c.segment(request("GET", "/ok"))
    c.wait(lambda: sum(b"ok\n" in s.data for s in c.segments) >= 3, "two retransmissions")
    c.acknowledging = True
    c.ack()
    c.segment(request("GET", "/missing"))
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(2)


def test_an_answer_in_many_small_segments_is_one_answer(tapped):
    t = tapped()
    t.server.file("page", b"HTTP/1.1 500 evil\r\n\r\n" * 500)
    c = t.connection(mss=100, window=300).connect()
    for i in range(3):
        c.segment(request("GET", "/files/page"))
        c.wait(lambda i=i: len(c.received) >= (i + 1) * 10_500, "the page")
        c.segment(request("GET", "/missing"))
        c.wait_received(b"HTTP/1.1 404", i + 1)
    c.close()
    t.check(6)


def test_the_sequence_space_may_wrap_inside_a_request(tapped):
    t = tapped()
    r = request("GET", "/missing/wrap")
    for before in (2, len(r) // 2, len(r), len(r) + 5, len(r) + len(r) // 2):
        c = t.connection(isn=(1 << 32) - 1 - before).connect()
        for i in range(3):
            c.segment(r)
            c.wait_received(b"HTTP/1.1 404", i + 1)
        c.close()
    t.check(15)


def test_a_keepalive_probe_with_a_garbage_byte_is_not_data(tapped):
    t = tapped()
    c = t.connection().connect()
    for i in range(3):
        c.segment(request("GET", "/ok"))
        c.wait_received(OK_BODY, i + 1)
        c.segment(b"X", at=c.sent - 1)
    c.close()
    t.check(3)


def test_forty_bytes_of_tcp_options_are_passed_over(tapped):
    t = tapped()
    for options in (b"\x01" * 4, b"\x01" * 12, b"\x01" * 40):
        c = t.connection(options=options).connect()
        c.segment(request("GET", "/ok"))
        c.wait_received(OK_BODY)
        c.segment(request("GET", "/missing"))
        c.wait_received(b"HTTP/1.1 404")
        c.close()
    t.check(6)


def test_a_request_with_fin_in_its_segment_is_answered(tapped):
    t = tapped()
    c = t.connection().connect()
    c.fin(request("GET", "/ok"))
    c.wait_received(OK_BODY)
    c.wait(lambda: c.finished or c.reset, "the server's FIN")
    t.check(1)


def test_a_segment_far_outside_the_window_is_not_believed(tapped):
    t = tapped()
    c = t.connection().connect()
    c.segment(request("GET", "/ok"))
    c.wait_received(OK_BODY)
    c.segment(request("GET", "/spoofed"), at=c.sent + (1 << 30))
    c.segment(request("GET", "/spoofed"), at=c.sent - (1 << 30))
    c.segment(request("GET", "/missing"))
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(2)


@pytest.mark.parametrize("data", [b"\x17\x03\x03\x00\x13" + b"x" * 19, request("GET", "/late"), request("GET", "/late")[:10]],
                         ids=["a TLS record", "a request", "half a request"])
def test_what_comes_for_a_connection_that_has_gone_is_no_connection(tapped, data):
    """The kernel hands it to the listener, as it does with the handshake's last ACK, and answers with a reset."""
    t = tapped()
    c = t.connection().connect()
    c.segment(request("GET", "/ok"))
    c.wait_received(OK_BODY)
    c.abort()
    for _ in range(3):
        c.reset = False
        c.segment(data)
        c.wait(lambda: c.reset, "the RST")
    d = t.check(1)
    assert d["coverage"]["connections"] == d["coverage"]["decoded"] == 1, d


def late_first_byte(t, requests):
    """The first byte of a request is lost and comes again only after the segments of pipelined requests behind it."""
    rs = [request("GET", "/ok" if i % 2 else "/missing", headers=["X-Pad: " + "p" * 200]) for i in range(requests)]
    whole = b"".join(rs)
    c = t.connection().connect()
    start = 1
    for r in rs:
        end = min(start + len(r), len(whole))
        c.segment(whole[start:end], at=start)
        start = end
    c.segment(whole[:1], at=0)
    c.sent = len(whole)
    c.wait_received(b"HTTP/1.1 ", requests)
    return c


def test_a_gap_that_closes_late_hides_nothing(tapped):
    t = tapped()
    late_first_byte(t, 3).close()
    t.check(3)


def test_a_gap_with_more_behind_it_than_can_be_kept_is_said_and_pairs_nothing_wrongly(tapped):
    t = tapped()
    c = late_first_byte(t, 20)
    c.segment(request("GET", "/boom"))
    c.wait_received(b"HTTP/1.1 503")
    c.close()
    d = t.watch.stop(lossless=False)
    assert d.counts() == {("GET /boom", 503): 1}, d
    assert d["coverage"]["desynchronised"] == 1 and d["coverage"]["complete"] is False, d


@pytest.mark.xfail(reason="packets are seen before TCP checks them: a limit that the README states", strict=False)
def test_a_segment_with_a_wrong_checksum_is_not_believed(tapped):
    t = tapped()
    c = t.connection().connect()
    c.segment(request("GET", "/ok"))
    c.wait_received(OK_BODY)
    for size in (10, 300):
        c.segment(request("GET", "/spoofed", headers=["X-Pad: " + "p" * size]), at=c.sent, bad_checksum=True)
    c.segment(request("GET", "/missing"), flags=ACK | PSH)
    c.wait_received(b"HTTP/1.1 404")
    c.close()
    t.check(2)
