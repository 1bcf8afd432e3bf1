# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""gRPC: each call is one exchange under its service and method, with the status that its trailers say."""
import collections

import pytest

from tw import grpc, h2, h2_servers
from tw.grpc import call
from tw.h2traffic import assert_h2
from tw.oracle import MS, assert_answered, assert_counts, assert_between
from tw.watch import ARMS

BOTH = pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "tls"])
HEADERS = [("content-type", "application/grpc"), ("te", "trailers")]


@pytest.fixture
def grpc_server(tmp_path, certificate, started):
    def start(secure=False, name="grpc"):
        return started(grpc.Server(tmp_path, certificate if secure else None, name))

    return start


@pytest.fixture
def calling(tmp_path, certificate, started):
    """calling(port, calls): a client that makes them; started, and not waited for."""

    def start(port, calls, secure=False, **more):
        return started(grpc.Client(tmp_path, port, calls, certificate if secure else None, **more))

    return start


# What each kind of call ends with: the code the client must get, and what it asks for.
KINDS = [
    (0, call("Get", {"size": 300})), (0, call("Get", {"size": 200_000})), (0, call("Get", {"sleep": 20})),
    (5, call("Get", {"code": 5})), (13, call("Get", {"code": 13, "sleep": 5})),
    (0, call("Upload", *[{"fill": "x" * 20_000}] * 5)), (7, call("Upload", {}, {"code": 7})),
    (0, call("Watch", {"n": 20})), (0, call("Watch", {"n": 0})), (14, call("Watch", {"n": 5, "code": 14})),
    (3, call("Watch", {"code": 3})), (0, call("Watch", {"n": 3, "every": 10})),
    (0, call("Chat", *[{"i": i} for i in range(10)])), (10, call("Chat", {}, {"code": 10})), (12, call("Nope", {})),
    (12, dict(call("Get"), path="/shop.Nobody/Get")),
]


@pytest.mark.harness
@BOTH
def test_client_and_server_agree_on_every_kind_of_call(secure, grpc_server, calling):
    server = grpc_server(secure)
    results = calling(server.port, [c for _, c in KINDS], secure).results()
    assert_counts(grpc.counts(results), grpc.counts([{"path": c["path"], "code": code} for code, c in KINDS]))
    known = collections.defaultdict(dict)
    for (endpoint, status), n in grpc.counts(results).items():
        if "Nope" not in endpoint and "Nobody" not in endpoint:  # those never come to the service
            known[endpoint][status] = n
    assert server.ends(len(KINDS) - 2) == known


def test_every_kind_of_call_is_counted_under_its_method_by_its_grpc_status(grpc_server, calling, watching_each):
    """Statuses in trailers, and in answers that are nothing but trailers; over plaintext, then over TLS."""
    several, times = [grpc_server(False, "plain"), grpc_server(True, "secure")], 4
    w = watching_each(*several)
    for secure, server in enumerate(several):
        results = calling(server.port, [c for _, c in KINDS] * times, bool(secure), channels=3).results()
        assert_counts(grpc.counts(results), grpc.counts([{"path": c["path"], "code": code} for code, c in KINDS] * times))
    d = w.stop()
    for arm in ARMS[:2]:
        assert_answered(d, grpc.counts(results), arm)
    assert_h2(d, 6, requests=2 * len(results))


def test_calls_that_their_client_gives_up_are_resets_by_the_client(grpc_server, calling, watching):
    """Cancelled before anything came, and after some messages."""
    server = grpc_server()
    w = watching(server.port)
    calls = [call("Get", {"silent": True}, cancel=50), call("Watch", {"n": 1000, "every": 5}, cancel=3),
             call("Chat", {"keep": True}, {"keep": True}, cancel=2), call("Get", {})] * 5
    results = calling(server.port, calls).results()
    assert collections.Counter(r["code"] for r in results) == {grpc.CANCELLED: 15, grpc.OK: 5}
    assert server.ends(20) == {"gRPC /shop.Orders/Get": {"cancelled": 5, "grpc-0": 5},
                               "gRPC /shop.Orders/Watch": {"cancelled": 5}, "gRPC /shop.Orders/Chat": {"cancelled": 5}}
    d = w.stop()
    assert d.counts() == {("gRPC /shop.Orders/Get", "grpc-0"): 5}
    for method, place, answered in (("Get", "before_first_byte", 5), ("Watch", "mid_response", 0),
                                    ("Chat", "mid_response", 0)):
        of = d.figures(f"gRPC /shop.Orders/{method}")
        assert of["outcomes"]["reset_by_client"] == of["cut"]["reset_by_client"][place] == 5, of
        assert of["outcomes"]["answered"] == answered and of["requests"] == 5 + answered, of


def test_a_deadline_that_passes_at_the_client_is_its_reset(raw_server, calling, watching):
    """This server knows no deadlines; the client's own ends the call."""
    codes = []

    def handler(c):
        peer = h2.serve(c.sock, lambda peer, s: None)
        codes.extend(s.error for s in peer.streams.values() if s.headers)

    server = raw_server(handler)
    w = watching(server.port)
    results = calling(server.port, [call("Get", {}, deadline=150)] * 6, channels=1).results()
    assert [r["code"] for r in results] == [grpc.DEADLINE_EXCEEDED] * 6
    server.join()
    assert codes == [h2.CANCEL] * 6
    d = w.stop()
    assert d.figures("gRPC /shop.Orders/Get")["cut"]["reset_by_client"]["before_first_byte"] == 6
    assert d.outcomes() == {"reset_by_client": 6} and not d.counts()


def test_a_deadline_that_passes_at_the_server_is_an_answer(grpc_server, watching):
    """The client said how long it would wait, and waits on: the server answers that the deadline is exceeded."""
    server = grpc_server()
    w = watching(server.port)
    with h2.Client(server.port) as c:
        streams = [c.ask("POST", "/shop.Orders/Get", grpc.message({"silent": True}), [*HEADERS, ("grpc-timeout", "100m")])
                   for _ in range(4)]
        c.wait(*streams)
    assert [(s.trailers or s.headers)["grpc-status"] for s in streams] == ["4"] * 4
    d = w.stop()
    assert d.counts() == {("gRPC /shop.Orders/Get", "grpc-4"): 4}
    assert d.outcomes() == {"answered": 4}
    assert d.latency("gRPC /shop.Orders/Get")["max"] >= 0.095


def test_what_a_front_answers_in_http_keeps_its_http_status(raw_server, watching):
    """A proxy whose gRPC server is gone says 503 in HTML; some say UNAVAILABLE in trailers with 200, and one does both.
    A status that is not there is UNKNOWN, to gRPC's own clients as well."""
    answers = {
        "/shop.Orders/Html": lambda p, n: p.answer(n, 503, b"<html>", [("content-type", "text/html")]),
        "/shop.Orders/Trailers": lambda p, n: p.answer(n, 200, b"", [("content-type", "application/grpc")],
                                                       trailers=[("grpc-status", "14")]),
        "/shop.Orders/Only": lambda p, n: p.answer(n, 200, b"", [("content-type", "application/grpc"), ("grpc-status", "14")]),
        "/shop.Orders/Both": lambda p, n: p.answer(n, 503, b"", [("content-type", "application/grpc"), ("grpc-status", "14")]),
        "/shop.Orders/None": lambda p, n: p.answer(n, 200, b"", [("content-type", "application/grpc")]),
        "/shop.Orders/Proto": lambda p, n: p.answer(n, 200, grpc.message({}), [("content-type", "application/grpc+proto")],
                                                    trailers=[("grpc-message", "x"), ("grpc-status", "0")]),
    }
    server = raw_server(lambda c: h2.serve(c.sock, lambda p, s: answers[s.headers[":path"]](p, s.number)))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        for path in answers:
            for content_type in ("application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"):
                s = c.ask("POST", path, grpc.message({}), [("content-type", content_type), ("te", "trailers")])
                assert c.wait(s).ended
    server.join()
    d = w.stop()
    expected = {"None": "grpc-2", "Html": 503, "Trailers": "grpc-14", "Only": "grpc-14", "Both": "grpc-14", "Proto": "grpc-0"}
    assert d.counts() == {(f"gRPC /shop.Orders/{name}", status): 3 for name, status in expected.items()}
    assert d.outcomes() == {"answered": 3 * len(answers)}


def test_http_and_grpc_on_one_connection_are_told_apart_by_their_content_type(raw_server, watching):
    """A REST API beside it, JSON that is posted to the same path, and gRPC-Web, which is another protocol."""
    def answer(peer, s):
        if s.headers["content-type"] == "application/grpc":
            peer.answer(s.number, 200, b"", trailers=[("grpc-status", "0")])
        else:
            peer.answer(s.number, 201, b"{}")

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        for content_type in ("application/grpc", "application/json", "application/grp", "text/plain"):
            c.wait(c.ask("POST", "/shop.Orders/Get?x=1", b"{}", [("content-type", content_type)]))
    server.join()
    d = w.stop()
    assert d.counts() == {("gRPC /shop.Orders/Get", "grpc-0"): 1, ("POST /shop.Orders/Get", 201): 3}


def test_many_calls_on_few_connections_are_counted_to_the_last(tmp_path, grpc_server, started, watching_each):
    """h2load: 16 connections, 32 calls at once on each; first all succeed, then all fail."""
    several, n = [grpc_server(False, "plain"), grpc_server(True, "secure")], 6000
    w = watching_each(*several)
    for secure, server in enumerate(several):
        for name, of in (("good", {}), ("bad", {"code": 5})):
            load = started(h2_servers.H2load(tmp_path, server, ["/shop.Orders/Get"], n, 16, 32, bool(secure),
                                             data=grpc.message(of), headers=[": ".join(h) for h in HEADERS],
                                             name=f"{name}{secure}"))
            assert load.wait()["succeeded"] == n
        assert server.ends(2 * n) == {"gRPC /shop.Orders/Get": {"grpc-0": n, "grpc-5": n}}
    d = w.stop()
    for arm in ARMS[:2]:
        assert_answered(d, {("gRPC /shop.Orders/Get", "grpc-0"): n, ("gRPC /shop.Orders/Get", "grpc-5"): n}, arm)
    assert_h2(d, 64, requests=4 * n)


def test_a_call_takes_as_long_as_the_servers_own_clock_and_the_clients_say(grpc_server, calling, watching):
    """
    The server's clock starts when its event loop comes to the request, and stops before the write; the client's starts
    before the call is made, and stops when its event loop has come to the status.
    """
    server, delays = grpc_server(), [20 + 7 * i for i in range(20)]
    w = watching(server.port)
    made = calling(server.port, [call("Get", {"sleep": ms}) for ms in delays], channels=4, streams=2).results()
    server.ends(len(delays))
    times = server.seconds("/shop.Orders/Get")
    d = w.stop()
    of = d.latency("gRPC /shop.Orders/Get")
    assert of["count"] == len(times) == len(delays)
    assert_between(of, times, [r["seconds"] for r in made], resolution=MS)


def test_calls_on_an_open_connection_are_no_successes_where_their_status_cannot_be_told(grpc_server, watching):
    """All that a call says of itself is in tables that were filled before the tool came; HTTP's 200 is not."""
    def ask(c, **of):
        s = c.wait(c.ask("POST", "/shop.Orders/Get", grpc.message(of), HEADERS))
        return int((s.trailers or s.headers)["grpc-status"])

    server, codes = grpc_server(), [grpc.OK, grpc.INTERNAL] * 6
    with h2.Client(server.port) as c:
        for code in (grpc.OK, grpc.INTERNAL) * 2:
            assert ask(c, code=code) == code
        w = watching(server.port)
        assert [ask(c, code=code) for code in codes] == codes
    d = w.stop()
    assert_answered(d, {("(unknown)", "unknown"): len(codes)})
    # An endpoint and a status each.
    assert d["coverage"]["complete"] is False and d["coverage"]["http2"]["unknown"] == 2 * len(codes)


def test_half_a_message_and_trailers_that_never_come_are_truncated(raw_server, watching):
    def answer(peer, s):
        if s.headers[":path"].endswith("Half"):
            peer.answer(s.number, 200, grpc.message({})[:3], [("content-type", "application/grpc")], end=False)
        else:
            peer.answer(s.number, 200, grpc.message({}), [("content-type", "application/grpc")], end=False)
        peer.sock.shutdown(2)

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    for path in ("/shop.Orders/Half", "/shop.Orders/Whole"):
        with h2.Client(server.port) as c:
            s = c.wait(c.ask("POST", path, grpc.message({}), HEADERS))
            assert c.end == "eof" and s.status == 200 and not s.ended
    d = w.stop()
    assert d.outcomes() == {"truncated": 2}
    assert not d.counts()
