# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The harness by itself: every server, client and oracle the other tests lean on. Needs no tillwatch."""
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tw import net, oracle, rawtcp, servers, watch
from tw.client import Client, ask, chunked, request

pytestmark = pytest.mark.harness


def test_nginx_logs_every_request_with_its_status(nginx):
    server = nginx()
    with Client(server.port) as c:
        for target, status in (("/ok", 200), ("/missing/1", 404), ("/boom", 503), ("/empty", 204), ("/unchanged", 304)):
            assert c.ask("GET", target).status == status
    assert server.exchanges(5) == [("GET", "/ok", 200), ("GET", "/missing/1", 404), ("GET", "/boom", 503),
                                   ("GET", "/empty", 204), ("GET", "/unchanged", 304)]


def test_pieces_leave_as_segments_of_their_own(raw_server):
    got = []
    server = raw_server(lambda c: got.append(c.read_until_close()))
    with Client(server.port) as c:
        c.send(b"a", b"bc", b"def")
        assert net.data_segments_sent(c.sock) == 3
    server.join()
    assert got == [b"abcdef"]


def test_the_client_reads_every_framing(raw_server):
    server = raw_server(servers.answering({
        "/length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"h", b"i"]),
        "/hints": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    }))
    with Client(server.port) as c:
        for target, interim in (("/length", []), ("/chunked", []), ("/hints", [103])):
            got = c.ask("GET", target)
            assert (got.status, got.body, got.interim) == (200, b"hi", interim)


@pytest.mark.parametrize("kind", ["app", "threading", "node", "uring"])
def test_each_server_of_ours_logs_what_it_answered(kind, tmp_path, started, request):
    if kind == "uring":
        server = servers.uring(request.getfixturevalue("uring_programs")[0], tmp_path)
    else:
        server = {"app": servers.app, "threading": servers.threading_server, "node": servers.node}[kind](tmp_path)
    started(server)
    with Client(server.port) as c:
        bad = "/fail" if kind == "app" else "/missing"
        assert c.ask("GET", "/ok").status == 200
        bad_status = c.ask("GET", bad).status
        assert c.ask("GET", "/ok?x=1").status == 200
    assert server.exchanges(3) == [("GET", "/ok", 200), ("GET", bad, bad_status), ("GET", "/ok?x=1", 200)]
    assert bad_status in (404, 503)


def test_the_app_fails_at_its_seeded_rate(tmp_path, started):
    server = started(servers.app(tmp_path, options=["--seed", 7, "--error-rate", 0.3]))
    with Client(server.port) as c:
        bad = sum(c.ask("GET", "/x").status == 503 for _ in range(500))
    assert 110 < bad < 190


def test_the_app_streams_over_the_time_it_was_told(tmp_path, started):
    server = started(servers.app(tmp_path))
    got = ask(server.port, "GET", "/stream/300/3")
    assert got.body == b"bytes" * 3 and 0.25 < got.seconds < 1 and got.first_byte < 0.1


def test_the_uring_server_sends_a_megabyte_and_pipelines(tmp_path, started, uring_programs):
    server = started(servers.uring(uring_programs[0], tmp_path))
    with Client(server.port) as c:
        c.send(request("GET", "/big") + request("GET", "/ok") + request("GET", "/missing"))
        assert [len(c.answer().body), c.answer().status, c.answer().status] == [1 << 20, 200, 404]


def test_prefork_workers_serve_only_once_they_are_forked(tmp_path, started):
    port = net.free_port()
    server = started(servers.Logged([sys.executable, os.path.join(servers.SERVERS, "prefork.py"), "--port", port],
                                    tmp_path, "prefork", port))
    with Client(server.port) as c:
        c.send(request("GET", "/ok"))
        server.child.kill(signal.SIGUSR1)
        assert c.answer().status == 200
    assert server.exchanges(1) == [("GET", "/ok", 200)]


def test_haproxy_splits_by_weight_and_tells_which_backend_answered(tmp_path, started):
    backends = [started(servers.app(tmp_path, n)) for n in ("b1", "b2")]
    front = started(servers.Haproxy(tmp_path, {"b1": (backends[0].port, 3), "b2": (backends[1].port, 1)}))
    with Client(front.port) as c:
        for _ in range(8):
            assert c.ask("GET", "/ok").status == 200
    log = front.exchanges(8)
    assert {k: len(v) for k, v in log.items()} == {"b1": 6, "b2": 2}
    assert backends[0].exchanges(6) == log["b1"]


@pytest.mark.parametrize("deferred", ["", "deferred"])
def test_a_request_in_the_handshakes_last_ack_is_served(nginx, tun, deferred):
    server = nginx(host=tun.server, options=deferred)
    t = rawtcp.RawTcp(tun, server.port).connect(request("GET", "/ok"))
    t.wait_received(b"ok\n")
    t.close()
    assert server.exchanges(1) == [("GET", "/ok", 200)]


def test_crafted_segments_may_come_twice_late_and_over_the_end_of_the_sequence_space(nginx, tun):
    server = nginx(host=tun.server)
    t = rawtcp.RawTcp(tun, server.port, isn=(1 << 32) - 10).connect()
    r = request("GET", "/ok")
    t.segment(r[20:], at=20)
    t.segment(r[:25], at=0)
    t.sent = len(r)
    t.wait_received(b"ok\n")
    t.segment(r, at=0)
    t.segment(r)
    t.wait_received(b"ok\n", 2)
    t.close()
    assert server.exchanges(2) == [("GET", "/ok", 200)] * 2


def test_a_server_that_is_not_acknowledged_sends_again(nginx, tun):
    server = nginx(host=tun.server)
    t = rawtcp.RawTcp(tun, server.port).connect()
    t.acknowledging = False
    t.segment(request("GET", "/ok"))
    t.wait(lambda: sum(b"ok\n" in s.data for s in t.segments) >= 2, "a retransmission")
    t.close()
    assert len(server.exchanges(1)) == 1


def test_the_endpoint_rule_collapses_ids_only():
    for target, name in (("/a/8812?x=1", "GET /a/{id}"), ("/a/b2", "GET /a/b2"), ("/deadbeef1/x", "GET /{id}/x"),
                         ("/deadbeef", "GET /deadbeef"), ("/feedface-01", "GET /{id}"), ("/", "GET /"),
                         ("http://h:1/a/1", "GET /a/{id}"), ("*", "GET *")):
        assert oracle.endpoint("GET", target) == name


def test_the_count_oracle_sees_one_wrong_count():
    with pytest.raises(AssertionError, match="counted 2, was 3"):
        oracle.assert_counts({("GET /", 200): 2}, oracle.counts([("GET", "/", 200)] * 3))


def test_the_quantile_oracle_refuses_more_than_a_bucket():
    samples = [0.1] * 100
    good = dict(p50=0.1, p90=0.1, p95=0.1, p99=0.1, max=0.1)
    oracle.assert_quantiles(good, samples)
    with pytest.raises(AssertionError, match="p99"):
        oracle.assert_quantiles(dict(good, p99=0.106), samples)


def test_the_oracle_of_two_clocks_refuses_what_is_outside_of_them():
    inner, outer = [0.100] * 100, [0.110] * 100
    good = dict(p50=0.105, p90=0.105, p95=0.105, p99=0.105, max=0.105)
    oracle.assert_between(good, inner, outer)
    for name, wrong in (("p50", 0.095), ("p99", 0.116), ("max", 0.0999), ("max", 0.1101)):
        with pytest.raises(AssertionError, match=name):
            oracle.assert_between({**good, name: wrong}, inner, outer)


def test_a_document_that_contradicts_itself_is_refused():
    arm = dict(version="v1", requests=2, connections=1, status={"200": 1},
               outcomes=dict(answered=1, unanswered=0), latency={})
    doc = dict(schema="tillwatch.comparison/1", endpoints=[dict(endpoint="GET /", arms=dict(baseline=arm))],
               loss=dict(events=0, exchanges=0))
    with pytest.raises(AssertionError, match="do not add up"):
        watch.Document(watch.json.dumps(doc))
    with pytest.raises(AssertionError, match="NaN"):
        watch.Document('{"schema": NaN}')


def test_a_config_text_is_yaml_as_people_write_it():
    text = watch.config_text({"v1": ("baseline", {"listen": "127.0.0.1:80"})}, ["GET /a/{id}"], {"tick": "1s"})
    assert text == ('service: shop\nversions:\n  v1: { arm: "baseline", match: { listen: "127.0.0.1:80" } }\n'
                    'endpoints:\n  - { route: "GET /a/{id}" }\ngate: { tick: 1s }\n')


def test_a_reset_is_a_reset(raw_server):
    seen = threading.Event()

    def handler(c):
        try:
            c.sock.recv(100)
        except ConnectionResetError:
            seen.set()

    server = raw_server(handler)
    Client(server.port).reset()
    assert seen.wait(5)


def test_wrk_is_here():
    out = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    assert "wrk" in out


def test_the_clock_of_the_client_starts_with_the_request(tmp_path, started):
    server = started(servers.app(tmp_path))
    with Client(server.port) as c:
        time.sleep(0.05)
        assert c.ask("GET", "/ok").seconds < 0.05
