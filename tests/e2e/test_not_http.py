# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Bytes that are not HTTP/1: counted as what they are, never as requests, and harmless."""
import random
import socket
import ssl
import threading

import pytest

from tw.client import Client, ask, request
from tw.oracle import assert_counts
from tw.wait import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


@pytest.fixture
def sink(raw_server):
    """A server that reads whatever comes and answers one byte that means nothing."""

    def handler(c):
        c.sock.recv(65536)
        c.send(b"\x00")
        c.read_until_close()

    return raw_server(handler)


def talk(port, data):
    with Client(port) as c:
        c.send(data)
        assert c.sock.recv(1) == b"\x00"


def client_hello():
    """What OpenSSL says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(incoming, outgoing, server_hostname="shop.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_random_bytes_are_not_http(sink, watching):
    chance = random.Random(4)
    w = watching(sink.port)
    for size in (1, 2, 3, 7, 16, 17, 100, 1000, 20_000):
        # The first byte is one that no method begins with and no TLS record either.
        talk(sink.port, b"\x00" + chance.randbytes(size))
    sink.join()
    d = w.stop()
    assert d.requests() == 0
    assert (d["coverage"]["connections"], d["coverage"]["decoded"], d["coverage"]["not_http"]) == (9, 0, 9)


def test_text_that_is_not_http_is_not_http(sink, watching):
    lines = [b"EHLO shop.example\r\n", b"*1\r\n$4\r\nPING\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"GET\r\n", b"get things done\r\n",
             b"HTTP/1.1 200 OK\r\n\r\n"]
    w = watching(sink.port)
    for line in lines:
        talk(sink.port, line)
    sink.join()
    d = w.stop()
    assert d.requests() == 0 and d["coverage"]["not_http"] == len(lines)


def test_a_tls_client_hello_is_a_tls_connection_and_not_opaque(sink, watching):
    """No data was exchanged that anybody could have read."""
    hello = client_hello()
    w = watching(sink.port)
    for data in (hello, hello, hello[:100]):
        talk(sink.port, data)
    sink.join()
    d = w.stop()
    assert d.requests() == 0
    c = d["coverage"]
    assert (c["tls"]["connections"], c["tls"]["opaque"], c["opaque_tls"], c["not_http"], c["decoded"]) == (3, 0, 0, 0, 0)
    assert c["tls"]["versions"] == {"TLS 1.2": 0, "TLS 1.3": 0} and c["tls"]["names"] == []


def test_an_http2_preface_is_not_taken_for_a_request(sink, watching):
    w = watching(sink.port)
    for _ in range(3):
        talk(sink.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    sink.join()
    d = w.stop()
    assert d.requests() == 0
    assert d["coverage"]["decoded"] == 0
    assert d["coverage"]["http2"]["connections"] + d["coverage"]["not_http"] == 3


def test_other_connections_are_not_disturbed_by_those_that_are_not_http(raw_server, watching):
    def handler(c):
        if c.sock.recv(1, socket.MSG_PEEK)[:1] == b"G":
            while c.request():
                c.send(OK)
        else:
            c.read_until_close()

    server = raw_server(handler)
    chance = random.Random(5)
    w = watching(server.port)
    for _ in range(20):
        with Client(server.port) as c:
            c.send(b"\xff" + chance.randbytes(500))
        ask(server.port, "GET", "/ok")
    until(server.idle, "the handlers")
    d = w.stop()
    assert_counts(d.counts(), {("GET /ok", 200): 20})
    assert d["coverage"]["not_http"] == 20


def test_garbage_after_a_good_exchange_ends_that_connection_only(raw_server, watching):
    def handler(c):
        c.request()
        c.send(OK)
        c.read_until_close()

    server = raw_server(handler)
    chance = random.Random(6)
    w = watching(server.port)
    for _ in range(10):
        with Client(server.port) as c:
            c.ask("GET", "/ok")
            c.send(b"\x00" + chance.randbytes(300))
    server.join()
    d = w.stop(lossless=False)
    assert d.counts() == {("GET /ok", 200): 10}


def test_a_server_that_answers_garbage_gets_no_status(raw_server, watching):
    def handler(c):
        c.request()
        c.send(b"\x00\x01 this is no status line\r\n\r\n")

    server = raw_server(handler)
    w = watching(server.port)
    for _ in range(5):
        with Client(server.port) as c:
            c.send(request("GET", "/ok"))
            while c.sock.recv(1000):
                pass
    server.join()
    d = w.stop(lossless=False)
    assert d.requests() == 5 and d.counts() == {}


def test_hostile_byte_streams_never_stop_the_counting(raw_server, watching):
    """Four hundred mutilated requests; then ten good ones must be counted exactly."""
    chance = random.Random(7)
    seeds = [request("GET", "/ok"), request("POST", "/ok", b"x" * 50),
             request("POST", "/ok", headers=["Transfer-Encoding: chunked"]) + b"5\r\nhello\r\n0\r\n\r\n",
             request("GET", "/ok", headers=["Content-Length: 18446744073709551616"]),
             request("GET", "/ok", headers=["Content-Length: -1"]),
             request("POST", "/ok", headers=["Content-Length: 5", "Content-Length: 6"]) + b"hello",
             request("POST", "/ok", headers=["Transfer-Encoding: chunked"]) + b"ffffffffffffffffff\r\n"]

    def mutilated():
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(6)):
            at = chance.randrange(len(data))
            kind = chance.randrange(3)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at:at + chance.randrange(1, 9)]
            else:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            data = data or bytearray(b"G")
        return bytes(data)

    def handler(c):
        data = c.sock.recv(65536)
        if data.startswith(b"GET /good "):
            c.send(OK)
        elif chance.random() < 0.5:
            c.send(mutilated().replace(b"GET /ok", b"HTTP/1.1 2"))

    server = raw_server(handler)
    w = watching(server.port)
    for _ in range(400):
        with Client(server.port) as c:
            c.send(mutilated())
    for _ in range(10):
        ask(server.port, "GET", "/good")
    until(server.idle, "the handlers")
    d = w.stop(lossless=False)
    assert d.counts()["GET /good", 200] == 10


def test_a_header_block_without_end_is_bounded(raw_server, watching):
    server = raw_server(lambda c: c.read_until_close())
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"GET /endless HTTP/1.1\r\n")
        for i in range(2000):
            c.sock.sendall(b"X-%d: %s\r\n" % (i, b"y" * 500))
    server.join()
    d = w.stop(lossless=False)
    assert d.requests() <= 1 and d.counts() == {}
    assert threading.active_count() < 50
