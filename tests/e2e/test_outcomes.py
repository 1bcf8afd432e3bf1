# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What became of each exchange: exactly one outcome, the one that happened."""
import socket
import threading

from tw import net
from tw.client import Client, ask, request
from tw.oracle import assert_counts, counts
from tw.rawtcp import RawTcp
from tw.servers import RawServer

N = 5


def run(raw_server, watching, handler, client):
    """N connections of client against handler, watched; returns the document."""
    server = raw_server(handler)
    w = watching(server.port)
    for _ in range(N):
        with Client(server.port) as c:
            client(c)
    server.join()
    return w.stop()


def drain(c):
    try:
        while c.sock.recv(65536):
            pass
    except ConnectionResetError:
        pass


def test_a_server_that_closes_without_a_byte_leaves_the_request_unanswered(raw_server, watching):
    def client(c):
        c.send(request("GET", "/pay"))
        drain(c)

    d = run(raw_server, watching, lambda c: c.request(), client)
    assert d.outcomes() == {"unanswered": N} and d.counts() == {}


def test_a_server_that_closes_inside_the_response_truncates_it(raw_server, watching):
    def handler(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"only this")

    def client(c):
        c.send(request("GET", "/pay"))
        drain(c)

    d = run(raw_server, watching, handler, client)
    assert d.outcomes() == {"truncated": N} and d.counts() == {("GET /pay", 200): N}


def test_a_chunked_response_without_its_last_chunk_is_truncated(raw_server, watching):
    def handler(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    def client(c):
        c.send(request("GET", "/pay"))
        drain(c)

    d = run(raw_server, watching, handler, client)
    assert d.outcomes() == {"truncated": N}


def test_a_server_that_resets_is_the_one_that_reset(raw_server, watching):
    def handler(c):
        c.request()
        c.reset()

    def client(c):
        c.send(request("GET", "/pay"))
        drain(c)

    d = run(raw_server, watching, handler, client)
    assert d.outcomes() == {"reset_by_server": N} and d.counts() == {}


def test_a_server_that_resets_inside_the_response_is_the_one_that_reset(raw_server, watching):
    def handler(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"only this")
        c.reset()

    def client(c):
        c.send(request("GET", "/pay"))
        drain(c)

    d = run(raw_server, watching, handler, client)
    assert d.outcomes() == {"reset_by_server": N}


def test_a_client_that_resets_is_the_one_that_reset(raw_server, watching):
    arrived = threading.Semaphore(0)

    def handler(c):
        c.request()
        arrived.release()
        try:
            c.sock.recv(1)
        except ConnectionResetError:
            pass

    def client(c):
        c.send(request("GET", "/pay"))
        assert arrived.acquire(timeout=10)
        c.reset()

    d = run(raw_server, watching, handler, client)
    assert d.outcomes() == {"reset_by_client": N}


def test_a_client_that_closes_while_it_is_owed_an_answer_abandons_it(raw_server, watching):
    arrived = threading.Semaphore(0)

    def handler(c):
        c.request()
        arrived.release()
        assert c.sock.recv(1) == b""

    def client(c):
        c.send(request("GET", "/pay"))
        assert arrived.acquire(timeout=10)

    d = run(raw_server, watching, handler, client)
    assert d.outcomes() == {"client_abandoned": N}


def test_a_client_that_half_closes_and_is_answered_is_answered(raw_server, watching):
    def handler(c):
        c.request()
        assert c.sock.recv(1) == b""
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

    def client(c):
        c.send(request("GET", "/pay"))
        c.half_close()
        assert c.answer().status == 200

    d = run(raw_server, watching, handler, client)
    assert d.outcomes() == {"answered": N} and d.counts() == {("GET /pay", 200): N}


def test_a_client_that_closes_between_requests_costs_nothing(nginx, watching):
    server = nginx()
    w = watching(server.port)
    for _ in range(N):
        with Client(server.port) as c:
            c.ask("GET", "/ok")
    for _ in range(N):
        c = Client(server.port)
        c.ask("GET", "/ok")
        c.reset()
    d = w.stop()
    assert_counts(d.counts(), counts(server.exchanges(2 * N)))
    assert d.outcomes() == {"answered": 2 * N}


def test_a_server_that_closes_an_idle_connection_costs_nothing(nginx, watching):
    server = nginx(server="keepalive_timeout 1s;")
    w = watching(server.port)
    with Client(server.port) as c:
        c.ask("GET", "/ok")
        assert c.closed_by_server()
        d = w.stop()
    assert d.outcomes() == {"answered": 1}


def test_requests_pipelined_behind_the_one_that_closes_are_unanswered(raw_server, watching):
    """The server answers the first of three with Connection: close and ends."""
    def handler(c):
        for _ in range(3):
            c.request()
        c.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n")

    def client(c):
        c.send(b"".join(request("GET", t) for t in ("/first", "/second", "/third")))
        drain(c)

    d = run(raw_server, watching, handler, client)
    assert d.counts() == {("GET /first", 200): N}
    assert d.outcomes() == {"answered": N, "unanswered": 2 * N}


def test_a_client_that_vanishes_inside_the_response_ends_in_a_timeout(tun, started, watching):
    """It acknowledges nothing of a response larger than the window; the server's TCP gives up after its user timeout."""
    def handler(c):
        c.request()
        try:
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n" + bytes(8_000_000))
        except TimeoutError:
            pass

    server = started(RawServer(handler, host=tun.server,
                               options=[(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 700)]))
    w = watching(server.port, host=tun.server)
    c = RawTcp(tun, server.port).connect()
    c.acknowledging = False
    c.segment(request("GET", "/pay"))
    c.wait(server.idle, "the server's user timeout", 20)
    d = w.stop()
    assert d.requests() == 1
    assert d.outcomes() == {"timeout": 1}


def test_requests_that_no_process_read_are_still_counted(watching, started):
    """The listener's backlog takes the connection; nobody accepts; the socket is closed."""
    listener = socket.create_server(("127.0.0.1", net.free_port()))
    port = listener.getsockname()[1]
    w = watching(port)
    clients = [Client(port) for _ in range(3)]
    for c in clients:
        c.send(request("GET", "/pay"))
    listener.close()
    for c in clients:
        drain(c)
        c.close()
    d = w.stop()
    assert d.requests() == 3
    assert d.outcomes() == {"reset_by_server": 3}


def test_errors_and_good_answers_on_one_connection_are_told_apart(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        for t in ("/ok", "/boom", "/missing", "/ok", "/boom"):
            c.ask("GET", t)
    ask(server.port, "GET", "/ok")
    d = w.stop()
    assert d.by_status() == {200: 3, 503: 2, 404: 1}
    assert d.outcomes() == {"answered": 6}
