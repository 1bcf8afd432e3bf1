# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real servers over HTTP/2, each over plaintext and over TLS at once: every stream counted as its server logged it."""
import pytest

from tw import faults, h2, h2_servers, servers
from tw.h2traffic import Mixed, assert_h2, get, post
from tw.oracle import assert_answered, assert_counts, counts

# What servers/app.py answers behind a front. Bodies of 0 bytes to 1 MB, both ways.
APP = [get("/ok"), get("/orders/8812/items?secret=canary"), get("/fail/x", 503), get("/missing/1", 404), post("/ok", 0),
       post("/ok", 1), post("/ok", 20_000), post("/fail", 100_000, 503), post("/cart/17", 1 << 20), get("/size/0"),
       get("/size/16384"), get("/size/1048576"), get("/stream/5/7")]
OF_ITSELF = {  # what a front answers without the application behind it, and what Node does
    "nginx": [get("/ok"), get("/missing/1", 404), get("/boom", 503), get("/empty", 204), get("/unchanged", 304),
              get("/files/big"), post("/ok", 5000)],
    "haproxy": [],
    "apache": [get("/missing/1", 404), get("/moved", 302), get("/boom", 503)],
    "caddy": [get("/ok"), get("/missing/1", 404), get("/boom", 503), get("/files/big"), post("/ok", 0)],
    "node": [get("/ok"), get("/missing/1", 404), get("/fail/x?y=1", 503), get("/chunked/20"), get("/size/1048576"),
             get("/hints/1"), get("/trailers"), post("/ok", 0), post("/cart/17", 1), post("/ok", 1 << 20)],
}


def asks_of(kind, prefix):
    if kind == "node":
        return OF_ITSELF[kind]
    return OF_ITSELF[kind] + [a._replace(target=prefix + a.target) for a in APP]


@pytest.mark.parametrize("kind", h2_servers.KINDS)
def test_mixed_traffic_is_counted_as_the_servers_log_says(kind, h2_server, watching_each):
    plain, secure = h2_server(kind), h2_server(kind, tls=True)
    if kind == "nginx":
        for server in (plain, secure):
            server.file("big", b"HTTP/1.1 500 evil\r\n\r\n" * 100_000)
    w = watching_each(plain, secure)
    done = [Mixed(server.port, asks_of(kind, server.prefix), tls=tls).run().agrees(server)
            for server, tls in ((plain, None), (secure, True))]
    d = w.stop()
    for arm, traffic in zip(("baseline", "canary"), done):
        traffic.check(d, arm)
    assert_h2(d, sum(t.connections for t in done), requests=sum(len(t.done) for t in done))


# ---- h2load: many connections, many streams on each ----------------------------------------------------------------


TARGETS = {"nginx": ("/ok", "/missing/17", "/boom", "/empty"), "haproxy": ("/ok", "/missing/17", "/fail", "/size/300"),
           "apache": ("/app/ok", "/missing/17", "/boom"), "caddy": ("/ok", "/missing/17", "/boom"),
           "node": ("/ok", "/missing/17", "/fail", "/size/300")}
MANY = {"nginx": 40_000, "haproxy": 4_000, "apache": 4_000, "caddy": 12_000, "node": 10_000}


@pytest.mark.parametrize("kind", h2_servers.KINDS)
def test_h2load_is_counted_to_the_last_stream(kind, tmp_path, h2_server, started, watching_each):
    several = [h2_server(kind), h2_server(kind, tls=True)]
    w = watching_each(*several)
    n, clients = MANY[kind], 20
    for i, server in enumerate(several):
        load = started(h2_servers.H2load(tmp_path, server, TARGETS[kind], n, clients, 50, bool(i), name=f"load{i}"))
        said = load.wait()
        assert said["done"] == n and said["errored"] == said["timeout"] == 0, said
    logs = [counts(server.exchanges(n)) for server in several]
    d = w.stop()
    for arm, log in zip(("baseline", "canary"), logs):
        assert_answered(d, log, arm)
    assert_h2(d, 2 * clients, requests=2 * n)


def test_uploads_of_many_streams_at_once_are_one_exchange_each(tmp_path, h2_server, started, watching):
    """Bodies of 200 kB: 32 streams of a connection share its flow-control window, and stall on it."""
    server = h2_server("nginx")
    w = watching(server.port)
    load = started(h2_servers.H2load(tmp_path, server, ("/app/ok", "/app/fail"), 600, 4, 32, data=b"x" * 200_000))
    assert load.wait()["done"] == 600
    log = counts(server.exchanges(600))
    assert {k for k, _ in log} == {"POST /app/ok", "POST /app/fail"}
    d = w.stop()
    assert_answered(d, log)
    assert_h2(d, 4, requests=600)


# ---- other clients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_nghttp_and_curl_are_counted(tls, h2_server, watching):
    """nghttp makes a tree of priorities on idle streams first, and asks with priorities."""
    server = h2_server("nginx", tls=tls)
    targets = ["/ok?a=1", "/missing/1", "/boom", "/ok/2"]
    w = watching(server.port)
    h2_servers.nghttp(server, targets, tls, ("-m3",))
    if tls:
        got = h2_servers.curl(server, targets, tls)
    else:  # curl 7.88 cannot use such a connection again
        got = [h2_servers.curl(server, [t], options=("--http2-prior-knowledge",))[0] for t in targets]
    assert got == [(200, "2"), (404, "2"), (503, "2"), (200, "2")]
    log = counts(server.exchanges(16))
    d = w.stop()
    assert_answered(d, log)
    assert_h2(d, 2 if tls else 5, requests=16)


def test_an_upgraded_request_is_two_exchanges_as_the_server_logs_it(h2_server, watching):
    """It is asked in HTTP/1.1, where a 101 is the answer, and answered as stream 1: Apache logs both."""
    server = h2_server("apache", protocols=("HTTP/2.0", "HTTP/1.1"))
    w = watching(server.port)
    for _ in range(3):
        for target, status in (("/app/ok", 200), ("/app/missing/1", 404), ("/app/fail?x=1", 503)):
            assert h2_servers.curl(server, [target]) == [(status, "2")]
        said = h2_servers.nghttp(server, ["/app/ok/nghttp"], options=("-u",))
        assert "HTTP Upgrade success" in said and said.count(":status: ") == 1
    lines = server.exchanges(24)
    log = counts(lines)
    answered = {("GET /app/ok", 200): 3, ("GET /app/missing/{id}", 404): 3, ("GET /app/fail", 503): 3,
                ("GET /app/ok/nghttp", 200): 3}
    assert log == {**answered, **{(name, 101): 3 for name, _ in answered}}
    d = w.stop()
    assert_answered(d, log)
    assert_h2(d, 12)


def test_http1_and_http2_on_one_port_are_counted_side_by_side(h2_server, watching):
    server = h2_server("apache", tls=True, protocols=("HTTP/2.0", "HTTP/1.1"))
    w = watching(server.port)
    for options, version in ((("--http2",), "2"), (("--http1.1",), "1.1")) * 3:
        got = h2_servers.curl(server, ["/app/ok", "/missing/1", "/moved"], True, options)
        assert got == [(200, version), (404, version), (302, version)]
    log = counts(server.exchanges(18))
    d = w.stop()
    assert_answered(d, log)
    assert_h2(d, 3, requests=9)
    assert d["coverage"]["connections"] == d["coverage"]["decoded"] == 6


# ---- proxies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "tls"])
def test_haproxy_is_counted_in_front_and_behind_at_once_over_http2(secure, tmp_path, certificate, h2_server, started,
                                                                   watching):
    """HTTP/2 on both sides: what came in went out, seen on the proxy's own sockets."""
    backend = h2_server("node", tls=secure)
    front = started(h2_servers.Haproxy(tmp_path, certificate if secure else None, backend,
                                       server="ssl verify none alpn h2" if secure else "proto h2"))
    asks = [get("/ok"), get("/missing/1", 404), get("/chunked/20"), get("/size/1048576"), post("/ok", 100_000)]
    w = watching(versions={"front": ("baseline", {"listen": f"127.0.0.1:{front.port}"}),
                           "far": ("canary", {"upstream": f"127.0.0.1:{backend.port}"})})
    traffic = Mixed(front.port, asks, tls=secure or None, parallel=4).run().agrees(front).agrees(backend)
    d = w.stop(idle=True)
    for arm in ("baseline", "canary"):
        traffic.check(d, arm)
    assert_h2(d, requests=2 * len(traffic.done))


def test_two_backends_behind_haproxy_are_told_apart_over_http2(tmp_path, h2_server, started, watching_each):
    backends = {name: h2_server("node", name=name) for name in ("stable", "canary")}
    front = started(servers.Haproxy(tmp_path, {n: (s.port, 1) for n, s in backends.items()}, bind="proto h2",
                                    server="proto h2"))
    w = watching_each(*backends.values())
    with h2.Client(front.port) as c:
        streams = [c.ask("GET", ("/ok", "/fail", "/orders/12?x=1", "/sleep/1/x")[i % 4]) for i in range(40)]
        c.wait(*streams)
    log = front.exchanges(40)
    front.stop()
    d = w.stop()
    for arm, name in (("baseline", "stable"), ("canary", "canary")):
        assert len(log[name]) == 20
        assert_counts(counts(log[name]), counts(backends[name].exchanges(20)))
        assert_answered(d, counts(log[name]), arm)


def test_an_answer_that_haproxy_ends_before_its_length_is_cut_as_its_client_sees_it(tmp_path, started, watching):
    """What is behind haproxy closes inside its answer; haproxy ends the stream as if all were well."""
    behind = started(faults.Faulty(tmp_path))
    front = started(servers.Haproxy(tmp_path, {"app": (behind.port, 1)}, bind="proto h2"))
    w = watching(front.port)
    with h2.Client(front.port) as c:
        for script in ["rest", "send 700; close"] * 5:
            s = c.ask("GET", "/short", None, [("answer", "length 1000"), ("script", script)])
            c.wait(s)
            assert s.ended and (len(s.body) == 1000) == (script == "rest"), s.body
    front.stop()
    d = w.stop()
    outcomes = {k: n for k, n in d.figures("GET /short")["outcomes"].items() if n}
    assert outcomes == {"answered": 5, "truncated": 5}
    assert_h2(d, 1, requests=10)


def test_what_nginx_leaves_out_when_a_connection_has_asked_enough_is_nobodys(tmp_path, started, watching):
    """Its log has what it looked at; the load, with twenty streams at once, has asked for more on each connection."""
    server = started(h2_servers.Nginx(tmp_path, server="keepalive_requests 90;"))
    w = watching(server.port)
    load = started(h2_servers.H2load(tmp_path, server, ["/ok"], 2000, clients=4, streams=20))
    load.wait()
    log = counts(server.exchanges(360))
    d = w.stop()
    assert_answered(d, log)
    assert d["coverage"]["http2"]["withdrawn"] > 0
    assert d["ledger"]["balanced"] and d["ledger"]["seen"] == d["ledger"]["ended"] == 360


def test_what_comes_when_nginx_has_closed_an_idle_connection_in_order_is_nobodys(tmp_path, started, watching):
    """It says that it goes away, closes its side, and for a while reads on what crosses that, to throw it away."""
    server = started(h2_servers.Nginx(tmp_path, server="keepalive_timeout 1s;"))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        assert c.get("/ok").status == 200
        while c.receive():
            pass
        assert c.goaway == (1, h2.NO_ERROR) and c.end == "eof"
        c.ask("GET", "/crossing")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(1)))
    assert_h2(d, 1, requests=2)
    assert d["coverage"]["http2"]["withdrawn"] == 1


def test_what_a_server_pushes_is_an_exchange_of_its_own(h2_server, watching):
    server = h2_server("node")
    w = watching(server.port)
    with h2.Client(server.port) as c:
        for _ in range(5):
            s = c.get("/push")
            promised = [c.stream(n) for n in s.promises]
            assert len(promised) == 2
            c.wait(*promised)
            assert [p.status for p in promised] == [200, 200]
    log = counts(server.exchanges(15))
    assert log == {("GET /push", 200): 5, ("GET /pushed/{id}", 200): 10}
    d = w.stop()
    assert_answered(d, log)
    assert_h2(d, 1)
