# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Methods, targets, endpoints and their names; and that nothing private ever comes out."""
import pytest

from tw import servers
from tw.client import Client, ask, request
from tw.oracle import assert_answered, counts
from tw.servers import answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
SECRET = "s3cr3t-canary-value"


def test_absolute_form_and_asterisk_targets_are_counted(raw_server, watching):
    def handler(c):
        while c.request():
            c.send(OK)

    server = raw_server(handler)
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(3):
            c.ask("GET", "http://shop.example:80/absolute/7?q=1")
            c.ask("OPTIONS", "*")
    d = w.stop()
    assert_answered(d, {("GET /absolute/{id}", 200): 3, ("OPTIONS *", 200): 3})


@pytest.mark.parametrize("kind", ["nginx", "python"])
def test_any_token_is_a_method(kind, nginx, watching, tmp_path, started):
    if kind == "nginx":
        server = nginx()
        methods = ["GET", "PUT", "PURGE", "M-SEARCH", "PROPFIND", "A", "ABCDEFGHIJKLMNOPQRST"]
    else:
        server = started(servers.threading_server(tmp_path))
        methods = ["GET", "get", "x-custom!", "B2B", "M#$%&'*+.^_`|~x", "ABCDEFGHIJKLMNOPQRST"]
    w = watching(server.port)
    for method in methods:
        with Client(server.port) as c:
            c.send(request(method, "/ok"))
            c.answer(method)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(len(methods))))


@pytest.mark.parametrize("where", ["path", "query"])
def test_a_target_of_eight_kilobytes_is_counted_once(nginx, watching, where):
    server = nginx()
    target = "/missing/" + "p" * 8000 if where == "path" else "/missing?q=" + "p" * 8000
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(3):
            assert c.ask("GET", target).status == 404
            assert c.ask("GET", "/ok").status == 200
    d = w.stop()
    assert d.by_status() == {404: 3, 200: 3} and d.requests() == 6
    assert d.counts()["GET /ok", 200] == 3
    if where == "query":
        assert d.counts()["GET /missing", 404] == 3


def test_ids_in_targets_collapse_to_one_endpoint(nginx, watching):
    server = nginx()
    targets = [f"/orders/{i}" for i in range(40)] + [
        f"/cart/{i:08x}-0000-4000-8000-{i:012x}/items/{i}" for i in range(10)] + [
        "/orders/new", "/orders/7/lines/9", "/v2/orders/7", "/deadbeef", "/deadbee1", "/a1b2c3d", "/1", "/"]
    w = watching(server.port)
    with Client(server.port) as c:
        for t in targets:
            c.ask("GET", t)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(len(targets))))


def test_templates_of_the_config_name_endpoints_before_normalising_does(nginx, watching):
    server = nginx()
    w = watching(versions={"v1": ("baseline", {"listen": f"127.0.0.1:{server.port}"})}, serving=[server.port],
                 endpoints=[{"route": "POST /checkout", "critical": True, "value": "62.50 EUR"},
                            "GET /cart/{id}", "GET /cart/summary", "GET /product/{slug}/reviews"])
    asked = {("POST", "/checkout"): "POST /checkout", ("GET", "/cart/17"): "GET /cart/{id}",
             ("GET", "/cart/blue"): "GET /cart/{id}", ("GET", "/cart/summary"): "GET /cart/summary",
             ("GET", "/product/red-shoes/reviews?page=2"): "GET /product/{slug}/reviews",
             ("GET", "/product/red-shoes"): "GET /product/red-shoes", ("GET", "/checkout"): "GET /checkout"}
    expected = {}
    with Client(server.port) as c:
        for n in range(3):
            for (method, target), name in asked.items():
                c.ask(method, target)
                expected[name, 200] = expected.get((name, 200), 0) + 1
    d = w.stop()
    assert_answered(d, expected)
    assert [e["endpoint"] for e in d["endpoints"] if e["critical"]] == ["POST /checkout"]


def test_endpoints_beyond_the_cap_are_counted_as_other(nginx, watching):
    server = nginx()
    w = watching(versions={"v1": ("baseline", {"listen": f"127.0.0.1:{server.port}"})}, serving=[server.port],
                 limits={"endpoints": 10})
    words = ["".join(chr(ord("k") + (i // 4 ** k) % 4) for k in range(3)) for i in range(40)]
    with Client(server.port) as c:
        for _ in range(2):
            for word in words:
                c.ask("GET", f"/{word}")
    d = w.stop()
    got = d.counts()
    assert d.requests() == 80 and sum(got.values()) == 80
    named = {name: n for (name, _), n in got.items() if name != "other"}
    assert len(named) == 10 and set(named.values()) == {2}
    assert got["other", 200] == 60


def test_five_hundred_endpoints_are_told_apart(nginx, watching):
    server = nginx()
    words = ["x" + "".join(chr(ord("k") + (i // 8 ** k) % 8) for k in range(3)) for i in range(490)]
    w = watching(server.port)
    with Client(server.port) as c:
        for word in words:
            c.ask("GET", f"/{word}")
        for word in words:
            c.ask("GET", f"/missing/{word}" if word.endswith("kk") else f"/{word}")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(2 * len(words))))


def test_an_unknown_route_is_counted_from_its_first_request(nginx, watching):
    server = nginx()
    w = watching(server.port)
    for word in ("once", "twice", "twice"):
        ask(server.port, "GET", f"/{word}")
    d = w.stop()
    assert_answered(d, {("GET /once", 200): 1, ("GET /twice", 200): 2})


def test_hostile_targets_come_out_as_harmless_names(raw_server, watching):
    """Quotes and non-ASCII bytes: the document stays JSON, and each is counted."""
    targets = ["/quote\"x", "/back\\slash", "/caf\xe9", "/\xff\xfe", "/del\x7f", "/semi;<script>"]
    server = raw_server(answering({t: OK for t in targets}))
    w = watching(server.port)
    with Client(server.port) as c:
        for t in targets:
            c.send(b"GET " + t.encode("latin-1") + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            c.answer()
    server.join()
    d = w.stop()
    assert d.requests() == len(targets) and d.by_status() == {200: len(targets)}
    for name, _, _ in d.arms():
        assert all(32 <= ord(ch) < 127 for ch in name), name


def test_a_control_byte_in_a_target_costs_at_most_its_own_request(raw_server, watching):
    """RFC 9112 allows none: the observer may refuse to call it a request, and must say that it lost sight."""
    server = raw_server(answering({"/ok": OK, "/tab\x01x": OK}))
    w = watching(server.port)
    with Client(server.port) as c:
        for target in (b"/ok", b"/tab\x01x", b"/ok", b"/ok"):
            c.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            c.answer()
    d = w.stop()
    assert d.counts()["GET /ok", 200] == 3
    assert d.requests() == 4 or d["coverage"]["desynchronised"] == 1


def secrets_sent(port):
    """Requests that carry the secret wherever a name must not come from."""
    with Client(port) as c:
        c.ask("GET", f"/ok?token={SECRET}")
        c.ask("GET", f"/ok/9?a=1&token={SECRET}#{SECRET}")
        c.ask("POST", "/ok", SECRET.encode() * 20, headers=[f"Cookie: session={SECRET}", f"Authorization: {SECRET}"])
        c.ask("GET", f"http://user:{SECRET}@shop.example/ok")
    with Client(port) as c:
        c.send(*[bytes([b]) for b in request("GET", f"/ok?{SECRET}")])
        c.answer()


def test_a_secret_in_query_header_or_body_never_comes_out_of_watch(nginx, watching):
    server = nginx()
    w = watching(server.port)
    secrets_sent(server.port)
    d = w.stop()
    assert d.requests() == 5
    assert SECRET not in d.text and SECRET not in d.stderr


def test_a_secret_never_comes_out_of_the_lines_for_people(nginx, watching, tmp_path, started):
    server = nginx()
    w = watching(server.port, json_output=False)
    secrets_sent(server.port)
    server.log(5)
    assert w.end() in (0, 10, 20, 30)
    assert "GET /ok" in w.stdout()
    assert SECRET not in w.stdout() and SECRET not in w.stderr()
