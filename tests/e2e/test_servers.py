# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real servers of every make: the oracle is what the server itself logged."""
import pytest

from tw import servers
from tw.client import Client, ask, request
from tw.oracle import assert_answered, counts

BIG = 20 << 20


def test_a_file_of_twenty_megabytes_by_sendfile_is_one_exchange(nginx, watching):
    server = nginx()
    server.file("big", b"HTTP/1.1 500 evil\r\n\r\n" * (BIG // 21))
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(3):
            assert len(c.ask("GET", "/files/big").body) == BIG // 21 * 21
            c.ask("GET", "/missing")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(6)))
    assert d.outcomes() == {"answered": 6}


def test_an_upload_of_twenty_megabytes_is_one_exchange(nginx, watching):
    server = nginx()
    body = b"GET /evil HTTP/1.1\r\n\r\n" * (BIG // 22)
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(2):
            assert c.ask("PUT", "/ok", body).status == 200
            c.ask("GET", "/missing")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(4)))


def test_a_slow_reader_of_a_large_answer_is_one_exchange(nginx, watching):
    server = nginx()
    server.file("big", b"x" * (4 << 20))
    w = watching(server.port)
    with Client(server.port, receive_buffer=4096) as c:
        assert len(c.ask("GET", "/files/big").body) == 4 << 20
        c.ask("GET", "/missing")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(2)))


def test_an_io_uring_server_is_counted(tmp_path, started, watching, uring_programs):
    server = started(servers.uring(uring_programs[0], tmp_path))
    w = watching(server.port)
    for _ in range(3):
        with Client(server.port) as c:
            for target in ("/ok", "/missing", "/big"):
                c.ask("GET", target)
            c.send(request("GET", "/big") + request("GET", "/ok") + request("GET", "/missing"))
            for _ in range(3):
                c.answer()
    d = w.stop()
    assert_answered(d, counts(server.exchanges(18)))


def test_a_node_server_is_counted(tmp_path, started, watching):
    server = started(servers.node(tmp_path))
    w = watching(server.port)
    for _ in range(5):
        with Client(server.port) as c:
            c.ask("GET", "/ok")
            c.ask("GET", "/missing/1")
            assert len(c.ask("GET", "/big/2").body) >= 2 << 20
            c.ask("GET", "/chunked/20")
            c.ask("POST", "/ok", b"x" * 100_000)
            c.send(request("GET", "/ok/a") + request("GET", "/missing") + request("HEAD", "/ok/b"))
            c.answer()
            c.answer()
            c.answer("HEAD")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(40)))


@pytest.mark.parametrize("options", [[], ["--single"]])
def test_a_python_server_is_counted(tmp_path, started, watching, options):
    server = started(servers.threading_server(tmp_path, options=options))
    w = watching(server.port)
    for target in ("/ok", "/missing", "/ok") * 5:
        ask(server.port, "GET", target)
        ask(server.port, "POST", target, body=b"abc")
        ask(server.port, "HEAD", target)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(45)))


def test_ipv6_is_counted(nginx, watching, ipv6):
    server = nginx(host="::1")
    w = watching(server.port, host="::1")
    with Client(server.port, "::1") as c:
        for target in ("/ok", "/missing", "/ok"):
            c.ask("GET", target)
        c.send(request("GET", "/ok") + request("GET", "/boom"))
        c.answer()
        c.answer()
    d = w.stop()
    assert_answered(d, counts(server.exchanges(5)))


def test_ipv4_clients_of_an_ipv6_listener_are_counted(tmp_path, started, watching, ipv6):
    server = started(servers.app(tmp_path, host="::"))
    w = watching(versions={"v1": ("baseline", {"listen": str(server.port)})}, serving=[server.port])
    for host in ("127.0.0.1", "::1"):
        with Client(server.port, host) as c:
            c.ask("GET", "/ok")
            c.ask("GET", "/fail")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(4)))


def test_a_listen_address_excludes_other_addresses_on_the_same_port(nginx, watching):
    first = nginx(name="first")
    second = nginx(name="second", host="127.0.0.2", port=first.port)
    w = watching(first.port)
    for host in ("127.0.0.1", "127.0.0.2", "127.0.0.2"):
        ask(first.port, "GET", "/ok", host=host)
    d = w.stop()
    assert_answered(d, counts(first.exchanges(1)))
    assert len(second.exchanges(2)) == 2


def test_several_nginx_workers_are_one_version(nginx, watching):
    server = nginx(workers=3, options="reuseport")
    w = watching(server.port)
    for i in range(60):
        ask(server.port, "GET", ("/ok", "/missing")[i % 2])
    d = w.stop()
    assert_answered(d, counts(server.exchanges(60)))
    assert d.connections("GET /ok") == 30


def test_haproxy_in_front_is_matched_by_upstream(tmp_path, started, watching):
    backends = {n: started(servers.app(tmp_path, n)) for n in ("stable", "canary")}
    front = started(servers.Haproxy(tmp_path, {n: (s.port, 1) for n, s in backends.items()}))
    w = watching(versions={
        "v1": ("baseline", {"upstream": f"127.0.0.1:{backends['stable'].port}"}),
        "v2": ("canary", {"upstream": f"127.0.0.1:{backends['canary'].port}"})})
    with Client(front.port) as c:
        for i in range(40):
            c.ask("GET", ("/ok", "/fail", "/orders/12?x=1", "/sleep/1/x")[i % 4])
    d = w.stop(idle=True)
    log = front.exchanges(40)
    assert len(log["stable"]) == len(log["canary"]) == 20
    assert_answered(d, counts(log["stable"]), "baseline")
    assert_answered(d, counts(log["canary"]), "canary")


@pytest.mark.parametrize("reuse", ["kept", "fresh"])
def test_nginx_in_front_is_matched_by_upstream(tmp_path, nginx, started, watching, reuse):
    backends = [started(servers.app(tmp_path, n)) for n in ("stable", "canary")]
    keep = "keepalive 8;" if reuse == "kept" else ""
    front = nginx(
        http="upstream shop { server 127.0.0.1:%d; server 127.0.0.1:%d; %s }" % (*(b.port for b in backends), keep),
        server="location /up/ { proxy_pass http://shop/; proxy_http_version 1.1; proxy_set_header Connection ''; }")
    w = watching(versions={
        "v1": ("baseline", {"upstream": f"127.0.0.1:{backends[0].port}"}),
        "v2": ("canary", {"upstream": f"127.0.0.1:{backends[1].port}"})})
    with Client(front.port) as c:
        for i in range(40):
            c.ask("GET", ("/up/ok", "/up/fail", "/up/orders/12?x=1")[i % 3])
    d = w.stop(idle=True)
    log = front.log(40)
    for arm, backend in (("baseline", backends[0]), ("canary", backends[1])):
        mine = [(line.method, line.uri[3:], int(line.upstream_status)) for line in log
                if line.upstream == f"127.0.0.1:{backend.port}"]
        assert len(mine) == 20
        assert_answered(d, counts(mine), arm)
        assert_answered(d, counts(backend.exchanges(20)), arm)


def test_both_sides_of_a_proxy_may_be_watched_at_once(tmp_path, nginx, started, watching):
    backend = started(servers.app(tmp_path))
    front = nginx(server=f"location /up/ {{ proxy_pass http://127.0.0.1:{backend.port}/; }}")
    w = watching(versions={"front": ("baseline", {"listen": f"127.0.0.1:{front.port}"}),
                           "back": ("canary", {"listen": f"127.0.0.1:{backend.port}"})},
                 serving=[front.port, backend.port])
    with Client(front.port) as c:
        for i in range(20):
            c.ask("GET", ("/up/ok", "/up/fail", "/missing")[i % 3])
    d = w.stop()
    assert_answered(d, counts(front.exchanges(20)), "baseline")
    assert_answered(d, counts(backend.exchanges(13)), "canary")


def test_a_port_that_is_not_watched_is_not_counted(nginx, watching):
    watched, other = nginx(name="watched"), nginx(name="other")
    w = watching(watched.port)
    ask(watched.port, "GET", "/ok")
    for _ in range(5):
        ask(other.port, "GET", "/ok")
    d = w.stop()
    assert d.requests() == 1 and d["coverage"]["connections"] == 1
