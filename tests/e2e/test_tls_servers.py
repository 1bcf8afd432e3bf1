# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real servers over TLS, of every library, three at a time: each request counted as if it had been plain."""
import collections
import time

import pytest

from tw import net, tls, tls_servers
from tw.client import Client, ask
from tw.oracle import assert_answered, assert_counts, counts
from tw.traffic import Ask, Mixed, assert_all_read, chunked_post, get, post
from tw.wait import until
from tw.watch import ARMS

# What servers/app.py answers. Bodies of 0 bytes to 1 MB, both ways; with a length and chunked.
APP = [get("/ok"), get("/orders/8812/items?secret=canary"), get("/fail/x", 503), get("/missing/1", 404), post("/ok", 0),
       post("/ok", 1), post("/ok", 20_000), post("/fail", 100_000, 503), post("/cart/17", 1 << 20), get("/size/0"),
       get("/size/16384"), get("/size/1048576"), get("/stream/5/7"), chunked_post("/missing", [b"abc", b"x" * 30_000], 404)]
C = [get("/ok"), get("/orders/8812?secret=canary"), get("/missing/1", 404), get("/size/0"), get("/size/16384"),
     get("/size/1048576"), post("/ok", 0), post("/cart/17", 1), post("/missing", 100_000, 404), post("/ok", 1 << 20)]
OF_ITSELF = {  # what a front answers without the application behind it, and what other servers do
    "nginx": [get("/ok"), get("/missing/1", 404), get("/boom", 503), get("/empty", 204), get("/unchanged", 304),
              get("/files/big"), post("/ok", 5000), chunked_post("/ok", [b"abc", b"x" * 30_000])],
    "haproxy": [],
    "apache": [get("/missing/1", 404), get("/moved", 302), get("/boom", 503)],
    "lighttpd": [get("/ok"), get("/missing/1", 404), get("/moved", 301)],
    "caddy": [get("/ok"), get("/missing/1", 404), get("/boom", 503), get("/files/big"), post("/ok", 0)],
    "asyncio": APP,
    "threads": [a for a in APP if a.status in (200, 404) and "/stream" not in a.target and "chunked" not in str(a.headers)],
    "node": [get("/ok"), get("/missing/1", 404), get("/chunked/20"), get("/big/1"), post("/ok", 0), post("/cart/17", 1),
             post("/ok", 100_000), post("/ok", 1 << 20), chunked_post("/ok", [b"abc", b"x" * 30_000])],
}


def asks_of(kind, server):
    if kind in tls_servers.FRONTS:
        return OF_ITSELF[kind] + [a._replace(target=server.prefix + a.target) for a in APP]
    if "--chop" in kind:
        return [a for a in C if len(a.body) <= 1000]
    return OF_ITSELF.get(kind, C)


TRIOS = [("nginx", "haproxy", "apache"), ("lighttpd", "caddy", "asyncio"), ("threads", "node", "shared --ex"),
         ("shared", "static", "boringssl"), ("shared --event", "static --event --partial --ex", "boringssl --event --partial"),
         ("shared --chop 7", "shared --event --chop 7 --ex", "boringssl --event --chop 7")]


@pytest.mark.parametrize("kinds", TRIOS, ids=", ".join)
def test_mixed_traffic_is_counted_as_the_servers_logs_say(kinds, tls_server, watching_each):
    several = [tls_server(kind) for kind in kinds]
    if kinds[0] == "nginx":
        several[0].file("big", b"HTTP/1.1 500 evil\r\n\r\n" * 100_000)
    w = watching_each(*several)
    done = [Mixed(server.port, asks_of(kind, server), rounds=1, closing=(503,) if kind == "apache" else ()).run()
            for kind, server in zip(kinds, several)]
    for traffic, server in zip(done, several):
        traffic.agrees(server)
    d = w.stop()
    for arm, traffic in zip(ARMS, done):
        assert_answered(d, counts(traffic.done), arm)
    assert_all_read(d, sum(traffic.connections for traffic in done))


def prometheus_asks():
    return [get("/-/healthy"), get("/metrics"), get("/api/v1/query?query=up"), get("/api/v1/query?query=(", 400),
            get("/api/v1/status/buildinfo"), get("/nothing/here", 404), get("/-/ready"),
            Ask("POST", "/api/v1/query", 200, b"query=" + b"%20" * 20_000 + b"up",
                ("Content-Type: application/x-www-form-urlencoded",))]


def test_servers_without_a_log_are_counted_as_the_client_saw_them(tls_server, watching_each):
    """
    Prometheus, whose own counter of requests must have grown by as many; gnutls-serv, which closes after each answer; and
    Python, whose handshakes are made by one thread and whose requests are read by others.
    """
    prometheus, gnutls = tls_server("prometheus"), tls_server("gnutls-serv")
    accepting = tls_server("threads", options=["--accepting"])

    def counter():
        return prometheus.counted(ask(prometheus.port, "GET", "/metrics", tls=True).body.decode())

    until(lambda: ask(prometheus.port, "GET", "/-/ready", tls=True).status == 200, "Prometheus to be ready")
    before = counter()
    w = watching_each(prometheus, gnutls, accepting)
    traffic = Mixed(prometheus.port, prometheus_asks(), rounds=2).run()
    grown = collections.Counter(counter())
    grown.subtract(before)
    for path, status in (("/-/healthy", 200), ("/api/v1/query", 400), ("/-/ready", 200)):
        assert grown[path, status] == counts(traffic.done)["GET " + path, status]
    traffic.also(get("/metrics"), 1)
    n = 30
    for i in range(n):
        got = ask(gnutls.port, "GET", f"/page/{i}", tls=tls.context(("1.2", "1.3")[i % 2]), version="1.0")
        assert got.status == 200 and b"</HTML>" in got.body
    other = Mixed(accepting.port, OF_ITSELF["threads"], rounds=1).run().agrees(accepting)
    d = w.stop()
    assert_answered(d, counts(traffic.done), "baseline")
    assert_answered(d, {("GET /page/{id}", 200): n}, "canary")
    assert_answered(d, counts(other.done), "other")
    assert_all_read(d, traffic.connections + n + other.connections)


CIPHERS = [("1.3", None), ("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
           ("1.2", "ECDHE-ECDSA-AES128-SHA"), ("1.2", "ECDHE-ECDSA-AES256-SHA384")]


def test_every_kind_of_record_is_read(tls_server, watching):
    """AEAD, ChaCha and CBC with a MAC: records whose lengths say different things of what they hold."""
    server = tls_server("nginx", settings="ssl_ciphers ALL;")
    server.file("big", b"x" * 300_000)
    w = watching(server.port)
    done, connections = [], 0
    for version, cipher in CIPHERS:
        context = tls.context(version, cipher)
        with Client(server.port, tls=context) as c:
            assert c.sock.tls.version() == f"TLSv{version}" and cipher in (None, c.sock.tls.cipher()[0])
            traffic = Mixed(server.port, OF_ITSELF["nginx"], tls=context, parallel=8, rounds=3)
            traffic.also(get("/ok"), 1).on(c)
        traffic.run()
        done += traffic.done
        connections += traffic.connections
    log = counts(server.exchanges(len(done)))
    assert_counts(log, counts(done))
    d = w.stop()
    assert_answered(d, log)
    assert_all_read(d, connections)


def test_connections_that_resume_a_session_are_counted(tls_server, watching):
    server = tls_server("nginx", settings="ssl_session_cache shared:t:1m;")
    n = 20
    w = watching(server.port)
    for version in ("1.2", "1.3"):
        context, session, resumed = tls.context(version), None, 0
        for i in range(n):
            with Client(server.port, tls=context, session=session) as c:
                assert c.ask("GET", ("/ok", "/missing/1")[i % 2]).status == (200, 404)[i % 2]
                session, resumed = c.sock.tls.session, resumed + c.sock.tls.session_reused
        assert resumed == n - 1
    log = counts(server.exchanges(2 * n))
    d = w.stop()
    assert_answered(d, log)
    assert_all_read(d, 2 * n)


def test_a_port_that_is_not_watched_is_not_counted_though_its_process_is(tls_server, watching):
    """One worker, one port that is watched and one that is not, requests on both in turn."""
    other = net.free_port()
    server = tls_server("nginx", http=f"server {{ listen 127.0.0.1:{other} ssl; location / {{ return 200; }} }}")
    n = 30
    w = watching(server.port)
    with Client(server.port, tls=True) as mine, Client(other, tls=True) as foreign:
        for i in range(n):
            mine.ask("GET", "/ok")
            foreign.ask("GET", "/foreign")
            ask(other, "GET", "/foreign", tls=True)
            ask(server.port, "GET", "/missing", tls=True)
    assert len(server.exchanges(4 * n)) == 4 * n
    d = w.stop()
    assert_answered(d, {("GET /ok", 200): n, ("GET /missing", 404): n})
    assert_all_read(d, n + 1)


# ---- proxies whose far side is encrypted ---------------------------------------------------------------------------


def settle(port, target, seconds=1.5):
    """Requests while the tool finds the process that asks an upstream; how many."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        ask(port, "GET", target, tls=True)
        n += 1
    return n


def test_nginx_in_front_is_matched_by_an_upstream_over_tls(tls_server, watching):
    """The proxy is the TLS client: its writes are the requests, its reads the answers. Connections kept and fresh."""
    backends = [tls_server("asyncio", n) for n in ("stable", "canary")]
    upstream = "server 127.0.0.1:%d; server 127.0.0.1:%d;" % tuple(b.port for b in backends)
    proxy = "proxy_http_version 1.1; proxy_set_header Connection '';"
    front = tls_server("nginx", http=f"upstream fresh {{ {upstream} }} upstream kept {{ {upstream} keepalive 8; }}",
                       server=f"location /fresh/ {{ proxy_pass https://fresh/fresh/; {proxy} }}"
                              f"location /kept/ {{ proxy_pass https://kept/kept/; {proxy} }}")
    w = watching(versions={
        "v1": ("baseline", {"upstream": f"127.0.0.1:{backends[0].port}"}),
        "v2": ("canary", {"upstream": f"127.0.0.1:{backends[1].port}"})})
    n = settle(front.port, "/fresh/settling")
    with Client(front.port, tls=True) as c:
        for i in range(40):
            for a in (get("/ok"), post("/cart/12?x=1", 3000), post("/big", 100_000)):
                c.ask(a.method, ("/fresh", "/kept")[i % 2] + a.target, a.body, a.headers)
    log, expected = front.log(n + 120), {}
    for arm, backend in (("baseline", backends[0]), ("canary", backends[1])):
        mine = [(line.method, line.uri, int(line.upstream_status)) for line in log
                if line.upstream == f"127.0.0.1:{backend.port}"]
        assert counts(mine) == counts(backend.exchanges(len(mine)))
        expected[arm] = counts(e for e in mine if e[1] != "/fresh/settling")
        assert sum(expected[arm].values()) >= 50
    d = w.stop(idle=True)
    settled = 0
    for arm, mine in expected.items():
        got = d.counts(arm)
        settled += got.pop(("GET /fresh/settling", 200), 0)
        assert_counts(got, mine)
    c = d["coverage"]
    assert settled + c["opaque_tls"] == n and c["desynchronised"] == c["not_http"] == c["tls"]["unjoined"] == 0, f"{settled} of {n}: {d}"
    # One process connects to both.
    assert [r["comm"] for r in c["tls"]["opaque_reasons"]] == ["nginx"] * len(c["tls"]["opaque_reasons"]), c["tls"]["opaque_reasons"]


def test_haproxy_is_counted_in_front_and_behind_at_once(tmp_path, certificate, tls_server, started, watching):
    """TLS on both sides, two threads: what came in went out."""
    backend = tls_server("node")
    front = started(tls_servers.Haproxy(tmp_path, certificate, backend, server="ssl verify none", settings="nbthread 2"))
    asks = [get("/ok"), get("/missing/1", 404), get("/chunked/20"), get("/big/1"), post("/ok", 100_000)]
    w = watching(versions={"front": ("baseline", {"listen": f"127.0.0.1:{front.port}"}),
                           "far": ("canary", {"upstream": f"127.0.0.1:{backend.port}"})})
    traffic = Mixed(front.port, asks, rounds=2).run().agrees(front).agrees(backend)
    d = w.stop(idle=True)
    for arm in ("baseline", "canary"):
        assert_answered(d, counts(traffic.done), arm)
    assert_all_read(d)


def test_both_ends_of_a_connection_may_be_watched_and_differ(tmp_path, certificate, tls_server, started, watching):
    """nginx in front and Node behind it, each seen on its own socket by its own library."""
    backend = tls_server("node")
    front = started(tls_servers.nginx(tmp_path, certificate, backend, upstream="https"))
    w = watching(versions={"far": ("baseline", {"upstream": f"127.0.0.1:{backend.port}"}),
                           "back": ("canary", {"listen": f"127.0.0.1:{backend.port}"})})
    n = settle(front.port, "/app/settling")
    traffic = Mixed(front.port, [get("/app/ok"), get("/app/missing/1", 404), post("/app/ok", 20_000)], parallel=8).run()
    at_backend = counts((m, t[len("/app"):], s) for m, t, s in traffic.done) | {("GET /settling", 200): n}
    assert at_backend == counts(backend.exchanges(len(traffic.done) + n))
    d = w.stop(idle=True)
    assert_answered(d, at_backend, "canary")
    settled = d.counts()["GET /settling", 200]
    assert_counts(d.counts(), at_backend | {("GET /settling", 200): settled})
    c = d["coverage"]
    assert settled + c["opaque_tls"] == n and c["desynchronised"] == c["not_http"] == c["tls"]["unjoined"] == 0, f"{settled} of {n}: {d}"
