# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Content-Length that comes more than once. Oracle: RFC 9112, 6.3: one if all are the same, broken framing if not. And bodies
whose end nobody can know. Oracle: the servers' logs.
"""
import pytest

from tw import tls_servers
from tw.client import Client
from tw.oracle import assert_answered, counts

# As some proxies and frameworks send it: once for themselves, once from behind them.
AGAIN = ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5", "content-length: 5\r\nX: y\r\nContent-Length: 05"]
OTHERS = ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 50", "Content-Length: 50\r\nContent-Length: 5"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def post(lines):
    return f"POST /pay HTTP/1.1\r\nHost: shop\r\n{lines}\r\n\r\nhello".encode()


def answer(lines):
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello".encode()


def read(client, n):
    while n:
        data = client.sock.recv(n)
        assert data
        n -= len(data)


def splits(data, step):
    return [[data]] + [[data[:i], data[i:]] for i in range(1, len(data), step)]


def speak(raw_server, watching, lines, step):
    """Two exchanges a connection, the first with these lines both ways, whole and cut in two; returns the document."""
    asked, told = splits(post(lines), step), splits(answer(lines), step)
    talks = [(a, told[i % len(told)]) for i, a in enumerate(asked)] + [(asked[0], t) for t in told]
    left = iter(talks)

    def handler(c):
        c.exactly(len(post(lines)))
        c.send(*next(left)[1])
        c.exactly(len(b"GET /next HTTP/1.1\r\n\r\n"))
        c.send(OK)

    server = raw_server(handler)
    w = watching(server.port)
    for pieces, reply in talks:
        with Client(server.port) as c:
            c.send(*pieces)
            read(c, len(answer(lines)))
            c.send(b"GET /next HTTP/1.1\r\n\r\n")
            read(c, len(OK))
    server.join()
    return w.stop(), len(talks)


@pytest.mark.parametrize("lines", AGAIN)
def test_the_same_length_again_is_one(raw_server, watching, lines):
    d, n = speak(raw_server, watching, lines, 3)
    assert_answered(d, {("POST /pay", 200): n, ("GET /next", 200): n})
    assert d["coverage"]["desynchronised"] == 0, d


@pytest.mark.parametrize("lines", OTHERS)
def test_different_lengths_are_not_believed(raw_server, watching, lines):
    d, n = speak(raw_server, watching, lines, 40)
    # Nobody can know where such a body ends.
    assert d.counts() == {} and d["coverage"]["not_http"] == n, d


ENDLESS = ["Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked, gzip\r\n\r\nabc",
           "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdefgh",
           "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n"]


@pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "tls"])
def test_clients_that_send_bodies_without_an_end_lose_nothing_of_others(
        secure, nginx, tmp_path, started, watching, certificate):
    """Else anybody could make the verdict of a service invalid."""
    server = started(tls_servers.nginx(tmp_path, certificate)) if secure else nginx()
    w = watching(server.port)
    for lines in ENDLESS * 4:
        with Client(server.port, tls=secure) as c:
            c.ask("GET", "/ok")
            c.send(f"POST /boom HTTP/1.1\r\nHost: shop\r\n{lines}".encode())
            assert c.answer().status >= 400
            assert c.closed_by_server()
    d = w.stop()
    assert_answered(d, counts(server.exchanges(2 * 4 * len(ENDLESS))))
    assert d["coverage"]["desynchronised"] == 0
