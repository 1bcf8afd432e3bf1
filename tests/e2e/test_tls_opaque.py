# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TLS that cannot be read is counted and said to be so, and spoils nothing else. What can be read stays private."""
import pytest

from tw import tls
from tw.client import Client, ask, request
from tw.faults import Faulty
from tw.oracle import assert_answered, counts
from tw.wait import until

N = 6


def assert_opaque(document, connections):
    """So many connections were TLS and could not be read, and the document says that something is missing."""
    c = document["coverage"]
    assert c["opaque_tls"] == c["tls"]["opaque"] == connections, document
    assert c["complete"] is False, document
    assert sum(v["tls"]["opaque"] for v in document["versions"]) == connections, document


def turns(document, version):
    """What is told of a version's opaque connections."""
    (t,) = [v["tls"]["turns"] for v in document["versions"] if v["version"] == version]
    assert t["judged"] is False and sum(t["outcomes"].values()) == t["count"] <= t["begun"], t
    return t


def reasons(document):
    """Version -> why its processes cannot be read."""
    out = {}
    for r in document["coverage"]["tls"]["opaque_reasons"]:
        out.setdefault(r["version"], []).append((r["process"], r["comm"], r["text"]))
    return out


def shop(port, context=True):
    """N connections with three requests each."""
    for _ in range(N):
        with Client(port, tls=context) as c:
            for target, status in (("/ok", 200), ("/missing/1", 404), ("/orders/8812?x=1", 200)):
                assert c.ask("GET", target).status == status


def test_servers_that_cannot_be_read_are_opaque(tls_server, watching_each):
    """OpenSSL in a program without symbols, and Java; TLS 1.2 and 1.3."""
    several = [tls_server(kind) for kind in ("stripped", "java")]
    w = watching_each(*several)
    for server in several:
        for version in ("1.2", "1.3"):
            shop(server.port, tls.context(version))
        assert len(server.exchanges(6 * N)) == 6 * N
    d = w.stop()
    assert_opaque(d, 4 * N)
    assert d.requests() == 0 and d["coverage"]["decoded"] == d["coverage"]["not_http"] == 0, d
    c = d["coverage"]["tls"]
    assert (c["connections"], c["read"]) == (4 * N, 0) and c["versions"] == {"TLS 1.2": 2 * N, "TLS 1.3": 2 * N}, c
    assert {(n["name"], n["connections"]) for n in c["names"]} == {("shop.example", N)} and len(c["names"]) == 4, c
    (stripped,), (java,) = reasons(d)["v-baseline"], reasons(d)["v-canary"]
    assert stripped[0] == several[0].pid and "stripped" in stripped[2], stripped
    assert java[:2] == (several[1].pid, "java") and "Java" in java[2], java
    # One request at a time and nothing else: each turn is one of them.
    for version in ("v-baseline", "v-canary"):
        t = turns(d, version)
        assert t["begun"] == t["count"] == t["outcomes"]["answered"] == 6 * N, t
        for kind in ("first_byte", "last_byte"):
            assert t["latency"][kind]["count"] == 6 * N and 0 < t["latency"][kind]["p50"] < 5, t


def test_a_version_that_cannot_be_read_spoils_no_other(tls_server, watching_each):
    good, bad = tls_server("nginx"), tls_server("stripped")
    w = watching_each(good, bad)
    shop(good.port)
    shop(bad.port)
    log = counts(good.exchanges(3 * N))
    d = w.stop()
    assert_answered(d, log)
    assert d.requests("canary") == 0
    assert_opaque(d, N)
    assert turns(d, "v-baseline")["begun"] == 0 and turns(d, "v-canary")["count"] == 3 * N
    verdict = d["verdict"]
    assert verdict["verdict"] == "hold" and "opaque_tls" in [r["code"] for r in verdict["reasons"]], verdict


def test_the_readable_program_of_two_on_one_port_is_read(tls_server, watching):
    """The same source, with its symbols and without."""
    whole = tls_server("static")
    stripped = tls_server("stripped", port=whole.port)
    w = watching(whole.port)
    n = 40
    for _ in range(n):
        assert ask(whole.port, "GET", "/ok", tls=True).status == 200
    until(lambda: len(whole.lines()) + len(stripped.lines()) >= n, "the last lines of the logs")
    mine, other = whole.exchanges(), stripped.exchanges()
    assert len(mine) + len(other) == n and mine and other
    d = w.stop()
    assert_answered(d, counts(mine))
    assert_opaque(d, len(other))


@pytest.mark.parametrize("json_output", [True, False])
def test_nothing_private_comes_out(json_output, tmp_path, certificate, tls_server, started, watching_each):
    """Queries, headers and bodies, of what was answered, of what was cut, and of what could not be read."""
    card = "4111111111111111"
    good, opaque = tls_server("asyncio"), tls_server("stripped")
    faulty = started(Faulty(tmp_path, tls=certificate))
    w = watching_each(good, faulty, opaque, json_output=json_output)
    private = [f"Authorization: Bearer {card}", f"Cookie: session={card}"]
    for port in (good.port, opaque.port):
        with Client(port, tls=True) as c:
            c.ask("POST", f"/pay?card={card}", f"card={card}".encode() * 100, private)
    for script in ("rest; close", "close", "send 20; reset"):
        whole = request("GET", f"/pay?card={card}&x=1", headers=["Answer: length 10", f"Script: {script}", *private])
        for pieces in ([whole], [whole[:12], whole[12:25], whole[25:]]):
            with Client(faulty.port, tls=True, goodbye=False) as c:
                c.send(*pieces)
                try:
                    while c.sock.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
    assert w.end() in (0, 10, 20, 30)
    assert "/pay" in w.stdout()
    for text in (w.stdout(), w.stderr()):
        assert card not in text and "card" not in text and card[:8] not in text and "Bearer" not in text
