# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""total, first_byte, queue and service against nginx's $request_time and the client's clock."""
import random
import socket
import threading
import time

import pytest

from tw import servers
from tw.client import Client, ask, request
from tw.net import await_shut_window
from tw.oracle import BUCKET, MS, assert_answered, assert_quantiles, counts, near
from tw.parallel import in_parallel
from tw.wait import pause, until

pytestmark = pytest.mark.alone

JIFFY = 0.01  # the longest there are


def test_total_agrees_with_the_request_time_of_nginx(tmp_path, nginx, started, watching):
    """nginx's clock has a resolution of 1 ms; at 60 to 250 ms that is less than a bucket."""
    app = started(servers.app(tmp_path))
    server = nginx(server=f"location /sleep/ {{ proxy_pass http://127.0.0.1:{app.port}; }}")
    chance = random.Random(11)
    delays = [[chance.randrange(60, 250) for _ in range(12)] for _ in range(10)]
    w = watching(server.port)

    def client(i):
        with Client(server.port) as c:
            for ms in delays[i]:
                c.ask("GET", f"/sleep/{ms}/x")

    in_parallel(10, client)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(120)))
    times = [line.seconds for line in server.log()]
    latency = d.latency("GET /sleep/{id}/x")
    assert_quantiles(latency, times, resolution=MS)
    near(latency["mean"], sum(times) / len(times), MS + 0.0005)


def test_total_agrees_with_the_clock_of_the_client(tmp_path, started, watching):
    """Sub-millisecond answers: the client's time is longer by its own two trips through the stack, never shorter."""
    server = started(servers.app(tmp_path))
    w = watching(server.port)
    with Client(server.port) as c:
        times = [c.ask("GET", "/ok").seconds for _ in range(300)]
    d = w.stop()
    latency = d.latency("GET /ok")
    mean = sum(times) / len(times)
    assert latency["max"] <= max(times)
    assert mean - 0.0003 <= latency["mean"] <= mean
    assert latency["p50"] <= sorted(times)[150] * BUCKET


def test_a_body_that_streams_for_three_seconds_has_a_long_total_and_a_short_first_byte(tmp_path, started, watching):
    server = started(servers.app(tmp_path))
    w = watching(server.port)
    with Client(server.port) as c:
        got = c.ask("GET", "/stream/3000/30")
        d = w.stop(idle=True)
    total, first = d.latency("GET /stream/{id}/{id}"), d.latency("GET /stream/{id}/{id}", "first_byte")
    assert d.counts() == {("GET /stream/{id}/{id}", 200): 1}
    near(total["max"], got.seconds, 0.01)
    near(first["max"], got.first_byte, 0.01)
    assert total["max"] >= 2.9 and first["max"] < 0.05


def test_a_body_that_streams_until_close_lasts_until_its_last_byte(raw_server, watching):
    def handler(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\n\r\n")
        pause(0.5)
        c.send(b"the end")

    server = raw_server(handler)
    w = watching(server.port)
    got = ask(server.port, "GET", "/stream")
    server.join()
    d = w.stop()
    near(d.latency("GET /stream")["max"], got.seconds, 0.01)
    assert d.latency("GET /stream", "first_byte")["max"] < 0.1


def test_first_byte_waits_for_the_final_answer_not_for_early_hints(raw_server, watching):
    def handler(c):
        c.request()
        c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        pause(0.3)
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

    server = raw_server(handler)
    w = watching(server.port)
    got = ask(server.port, "GET", "/hints")
    d = w.stop()
    assert got.first_byte < 0.1
    assert d.latency("GET /hints", "first_byte")["max"] >= 0.295
    near(d.latency("GET /hints")["max"], got.seconds, 0.01)


def test_an_upload_that_trickles_in_counts_from_its_first_byte(tmp_path, started, watching):
    server = started(servers.app(tmp_path))
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(request("POST", "/ok", headers=["Content-Length: 10"]))
        for _ in range(5):
            pause(0.08)
            c.sock.sendall(b"xx")
        got = c.answer()
    d = w.stop()
    near(d.latency("POST /ok")["max"], got.seconds, 0.01)
    assert d.latency("POST /ok")["max"] >= 0.39
    near(d.latency("POST /ok", "upload")["max"], 0.4, 0.03)
    assert d.latency("POST /ok", "server")["max"] < 0.05, "a slow upload is not a slow server"


def test_a_server_that_does_not_read_is_slow_and_not_its_clients_upload(raw_server, watching):
    size = 16 << 20

    def handler(c):
        head = c.request_head()
        pause(1)
        c.body(head[2])
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(request("POST", "/big", headers=[f"Content-Length: {size}"]) + bytes(size))
        got = c.answer()
    server.join()
    d = w.stop()
    near(d.latency("POST /big")["max"], got.seconds, 0.05)
    # The window's last bytes may be too few for a segment: a fifth of a second goes by until they are used all the same.
    assert d.latency("POST /big", "server")["max"] >= 0.7
    near(d.latency("POST /big", "server")["max"] + d.latency("POST /big", "upload")["max"],
         d.latency("POST /big")["max"], 2 * MS)


def test_a_client_that_does_not_read_is_not_a_slow_server(raw_server, watching):
    """The client looks at its clock while its window is known to be shut, so it was shut for at least that long."""
    size, connections = 64 << 20, []

    def handler(c):
        c.request()
        connections.append(c.sock)
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.send(request("GET", "/big"))
        until(lambda: connections, "the server to have read the request")
        await_shut_window(connections[0])
        start = time.monotonic()
        pause(1.5)
        shut = time.monotonic() - start
        c.answer()
    server.join()
    d = w.stop()
    total, first = d.latency("GET /big")["max"], d.latency("GET /big", "first_byte")["max"]
    near(d.latency("GET /big", "send")["max"], total - first, MS)
    assert total >= shut
    # Windows are seen to be shut in whole jiffies, of 10 ms at most.
    assert 0 <= d.latency("GET /big", "server")["max"] <= total - shut + JIFFY


def test_draining_is_measured_to_the_acknowledgement(tmp_path, started, watching):
    """Each request acknowledges the answer before it, and the client's close the last one."""
    server = started(servers.app(tmp_path))
    w = watching(server.port, endpoints=["GET /ok"])
    with Client(server.port) as c:
        for _ in range(20):
            c.ask("GET", "/ok")
    d = w.stop()
    drain = d.latency("GET /ok", "drain")
    assert drain["count"] == d.latency("GET /ok")["count"] == 20
    assert 0 < drain["p50"] < 0.02 and drain["max"] < 0.1


def test_the_first_answers_on_a_path_that_nobody_has_named_drain_as_well(tmp_path, started, watching):
    server = started(servers.app(tmp_path))
    w = watching(server.port, endpoints=["GET /else"])
    for _ in range(3):
        with Client(server.port) as c:
            for n in range(4):
                c.ask("GET", f"/sleep/{n}/new{n}")
    d = w.stop()
    for n in range(4):
        drain = d.latency(f"GET /sleep/{{id}}/new{n}", "drain")
        assert drain["count"] == d.latency(f"GET /sleep/{{id}}/new{n}")["count"] == 3
        assert 0 < drain["max"] < 0.1


def test_a_request_head_that_trickles_in_counts_from_its_first_byte(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"GET /o")
        pause(0.3)
        c.sock.sendall(b"k HTTP/1.1\r\nHost: x\r\n\r\n")
        got = c.answer()
    d = w.stop()
    near(d.latency("GET /ok")["max"], got.seconds, 0.01)


EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
THE_REST = b"w HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_head_that_comes_in_parts_is_queued_until_its_first_part_is_read(raw_server, watching):
    """The server looks after 0.2 s, and from then on whenever something comes; the rest comes after 0.4 and 0.5 s."""

    def handler(c):
        pause(0.2)
        c.request()
        c.send(EMPTY)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"GET /s")
        pause(0.4)
        c.sock.sendall(b"lo")
        pause(0.1)
        c.sock.sendall(THE_REST)
        c.answer()
    server.join()
    d = w.stop()
    for kind, seconds in (("queue", 0.2), ("service", 0.3), ("upload", 0.5), ("first_byte", 0.5)):
        near(d.latency("GET /slow", kind)["max"], seconds, 0.05)
    assert d.latency("GET /slow", "queue")["count"] == 1


def test_a_head_that_is_complete_before_anyone_looks_is_queued_from_its_first_byte(raw_server, watching):
    def handler(c):
        pause(0.4)
        c.request()
        c.send(EMPTY)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"GET /slo")
        pause(0.2)
        c.sock.sendall(THE_REST)
        c.answer()
    server.join()
    d = w.stop()
    for kind, seconds in (("queue", 0.4), ("service", 0.0), ("upload", 0.2)):
        near(d.latency("GET /slow", kind)["max"], seconds, 0.05)


def test_each_head_that_comes_in_parts_on_a_connection_has_a_queue_time_of_its_own(raw_server, watching):
    """Every request but the first begins in the segment of the one before it, and its end is 0.3 s late."""
    n = 6

    def handler(c):
        for i in range(n):
            pause(0.1)
            c.request()
            c.send(EMPTY)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"GET /slo")
        for i in range(n):
            pause(0.3)
            c.sock.sendall(THE_REST + (b"GET /slo" if i < n - 1 else b""))
            c.answer()
    server.join()
    d = w.stop()
    queue = d.latency("GET /slow", "queue")
    assert queue["count"] == n
    # Of the later ones the first bytes are read in one go with the end of the request before.
    near(queue["max"], 0.1, 0.05)
    near(queue["mean"], 0.1 / n, 0.02)
    near(d.latency("GET /slow", "service")["mean"], (0.2 + 0.3 * (n - 1)) / n, 0.03)


def test_a_head_that_was_read_in_part_and_went_wrong_spoils_no_later_time(raw_server, watching):
    """Step is lost inside a head that the server had begun to read; the requests after that are measured again."""
    later = 5

    def handler(c):
        c.request()
        c.send(EMPTY)
        while b"\r\n" not in c.buf:
            c.buf += c.sock.recv(65536)
        c.buf = b""
        c.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        for _ in range(later):
            c.request()
            c.send(EMPTY)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        c.ask("GET", "/ok")
        c.send(b"GET /o")
        pause(0.1)
        c.sock.sendall(b"k \1 no such thing\r\n")
        assert c.answer().status == 400
        for _ in range(later):
            c.ask("GET", "/ok")
    server.join()
    d = w.stop()
    assert d.counts() == {("GET /ok", 200): 1 + later}
    # The first one is known by the number of the one that went wrong.
    assert 1 + later - 1 <= d.latency("GET /ok", "queue")["count"] <= 1 + later


def test_waiting_for_a_busy_server_is_queue_and_its_work_is_service(tmp_path, started, watching):
    """A server of one thread sleeps half a second a request; the second client's request waits in the accept queue."""
    server = started(servers.threading_server(tmp_path, options=["--single"]))
    w = watching(server.port)
    asked = {}

    def client(name):
        with Client(server.port) as c:
            before = time.monotonic()
            c.send(request("GET", f"/sleep/500/{name}"))
            asked[name] = before, time.monotonic()
            c.answer()

    first = threading.Thread(target=client, args=("first",))
    first.start()
    # The first is being served when the kernel has one more connection than the accept queue holds.
    until(lambda: accepted(server.port), "the first connection to be accepted")
    second = threading.Thread(target=client, args=("second",))
    second.start()
    first.join()
    second.join()
    server.exchanges(2)
    d = w.stop()
    free = 0.0  # since when the server has nothing else to do
    for name, (_, _, _, read, done) in zip(("first", "second"), server.lines()):
        e = f"GET /sleep/{{id}}/{name}"
        before, after = asked[name]
        read, done = float(read), float(done)
        queue, accept, service = (d.latency(e, part)["max"] for part in ("queue", "accept", "service"))
        assert free - after - MS <= accept <= queue <= read - before + MS
        assert 0.5 - MS <= service <= done - max(before, free) + MS
        assert queue + service - MS <= d.latency(e)["max"] <= done - before + MS
        near(d.latency(e, "queue")["mean"] + d.latency(e, "service")["mean"], d.latency(e, "first_byte")["mean"], MS)
        free = done
    assert queue >= 0.1


def accepted(port):
    """Has the listener's accept queue been emptied into a process? (Established, and not in the queue.)"""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [row.split() for row in f.read().split("\n")[1:-1]]
    mine = [r for r in rows if int(r[1].rsplit(":", 1)[1], 16) == port]
    queued = sum(int(r[4].split(":")[1], 16) for r in mine if r[3] == "0A")
    return sum(r[3] == "01" for r in mine) > queued


def test_two_slow_requests_on_an_event_loop_do_not_share_their_time(tmp_path, started, watching):
    server = started(servers.app(tmp_path))
    w = watching(server.port)
    in_parallel(2, lambda i: ask(server.port, "GET", f"/sleep/{200 + 200 * i}/{'ab'[i]}"))
    d = w.stop()
    near(d.latency("GET /sleep/{id}/a")["max"], 0.2, 0.03)
    near(d.latency("GET /sleep/{id}/b")["max"], 0.4, 0.03)


def test_time_between_requests_of_a_connection_is_nobodys(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(3):
            c.ask("GET", "/ok")
            pause(0.3)
    d = w.stop()
    assert d.latency("GET /ok")["max"] < 0.05


def test_a_pipelined_request_counts_from_its_own_arrival(raw_server, watching):
    sent = []

    def handler(c):
        c.request()
        c.request()
        pause(0.3)
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        sent.append(time.monotonic())
        pause(0.3)
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        sent.append(time.monotonic())

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        began = time.monotonic()
        c.send(request("GET", "/one") + request("GET", "/two"))
        c.answer()
        c.answer()
    server.join()
    d = w.stop()
    near(d.latency("GET /one")["max"], sent[0] - began, 0.03)
    near(d.latency("GET /two")["max"], sent[1] - began, 0.03)
    assert sent[1] - sent[0] >= 0.3


def test_the_time_until_a_client_takes_a_large_answer_is_total_not_first_byte(nginx, watching):
    server = nginx()
    server.file("big", b"x" * (8 << 20))
    w = watching(server.port)
    with Client(server.port, receive_buffer=65536) as c:
        c.send(request("GET", "/files/big"))
        pause(0.4)
        got = c.answer()
    d = w.stop()
    assert d.latency("GET /files/big", "first_byte")["max"] < 0.1
    total = d.latency("GET /files/big")["max"]
    assert 0.39 <= total <= got.seconds
