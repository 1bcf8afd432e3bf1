# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Versions, workers and processes that come and go over TLS, and connections that are older than the tool."""
import os
import signal
import sys
import threading
import time

import pytest

from tw import net, servers, tls, tls_servers
from tw.client import Client, ask, request
from tw.faults import Faulty
from tw.keepalive import Load
from tw.oracle import assert_answered, assert_counts, counts
from tw.proc import children
from tw.traffic import assert_all_read
from tw.under_way import passes_over_a_download
from tw.wait import until
from tw.watch import ARMS


def one_and_two():
    return {"v1": ("baseline", {"env": "SHOP_VERSION=one"}), "v2": ("canary", {"env": "SHOP_VERSION=two"})}


@pytest.mark.parametrize("kinds", [("shared", "shared"), ("static", "boringssl")], ids=", ".join)
def test_two_versions_on_one_reuseport_port_are_told_apart_by_who_reads(kinds, tmp_path, certificate, tls_program, started,
                                                                       watching):
    """The same library in both, and another in each."""
    port = net.free_port()
    one, two = (started(tls_servers.c_server(tls_program(kind), tmp_path, certificate, name, port=port,
                                             env={"SHOP_VERSION": name}))
                for kind, name in zip(kinds, ("one", "two")))
    net.await_listeners(port, 2)
    w = watching(versions=one_and_two(), serving=[port])
    for i in range(60):
        with Client(port, tls=True) as c:
            c.ask("GET", "/ok")
            c.ask("GET", ("/missing", "/orders/7")[i % 2])
    until(lambda: len(one.lines()) + len(two.lines()) >= 120, "the last lines of the logs")
    logs = [one.exchanges(), two.exchanges()]
    assert sum(map(len, logs)) == 120 and all(logs)
    d = w.stop()
    assert_answered(d, counts(logs[0]), "baseline")
    assert_answered(d, counts(logs[1]), "canary")
    assert_all_read(d, 60)


def test_one_version_over_tls_and_one_in_plain_are_compared(tmp_path, certificate, started, watching):
    one = started(tls_servers.python_asyncio(tmp_path, certificate, "one", env={"SHOP_VERSION": "one"}))
    two = started(servers.app(tmp_path, "two", env={"SHOP_VERSION": "two"}))
    w = watching(versions=one_and_two(), serving=[one.port, two.port])
    for server, context in ((one, True), (two, None)):
        for i in range(20):
            ask(server.port, "GET", ("/ok", "/fail")[i % 2], tls=context)
    d = w.stop()
    assert_answered(d, counts(one.exchanges(20)), "baseline")
    assert_answered(d, counts(two.exchanges(20)), "canary")


def test_workers_forked_by_a_reload_under_load_are_read(tmp_path, certificate, started, watching):
    """
    nginx replaces its workers three times; not an answer of the load is missing, and none of it is opaque. What reached a
    connection too late was read by nobody: it may be counted, without a name.
    """
    server = started(tls_servers.nginx(tmp_path, certificate, workers=2))
    w = watching(server.port)
    load = Load(server.port, n=8, context=tls.context())
    load.more(100)
    for _ in range(3):
        before = set(children(server.pid))
        server.child.kill(signal.SIGHUP)
        until(lambda: children(server.pid) and not before & set(children(server.pid)), "new workers", 20)
        load.more(100)
    record = load.stop()
    log = counts(server.exchanges(record.answered.total()))
    d = w.stop()
    assert_counts(d.counts(), log)
    assert record.cuts() == {} and d.figures("GET /ok")["outcomes"]["answered"] == d.figures("GET /ok")["requests"]
    assert 0 <= d.requests() - sum(log.values()) <= record.late(), (record.late(), d.outcomes())
    assert d["coverage"]["opaque_tls"] == 0 and d["coverage"]["complete"] is True, d


def test_children_born_while_the_tool_attaches_are_read(tmp_path, certificate, started, watching):
    """The tool is told of births by the kernel, once it has found the parent: none may fall in between."""
    port = net.free_port()
    server = started(servers.Logged([sys.executable, os.path.join(servers.SERVERS, "tls_breeder.py"), "--port", port, "--tls",
                                     certificate], tmp_path, "breeder", port))
    w = watching(port)
    server.child.kill(signal.SIGUSR1)
    until(lambda: server.lines()[-1:] == [["stopped"]], "the last child")
    n = len(server.lines()) - 1
    threading.Event().wait(0.5)  # the youngest get the time that LIMITS.md asks for them
    clients = []
    for _ in range(n):  # each asks at once: a child that is met late is not read from its first byte
        clients.append(Client(port, tls=True))
        clients[-1].ask("GET", "/ok")
    for c in clients:
        c.close()
    net.await_closed(port)
    d = w.stop()
    assert n > 20 and d.counts() == {("GET /ok", 200): n}, d
    assert d["coverage"]["opaque_tls"] == 0 and d["coverage"]["complete"] is True, d


def settle(port, seconds=1.5):
    """
    Requests on connections of their own while the tool finds a process that has just begun; how many. Those that it
    comes too late for are opaque.
    """
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        ask(port, "GET", "/settling", tls=True)
        n += 1
    return n


def assert_settled(d, n, arm="baseline"):
    """
    Each of n connections with one request was either read or said to be opaque; one whose request lay in the library's
    buffer when the tool came is both, as it cannot be known that there was no other before it.
    """
    read = d.counts(arm).get(("GET /settling", 200), 0)
    assert n // 2 < read <= n <= read + d["coverage"]["opaque_tls"], f"{read} of {n} read: {d}"


def test_a_worker_that_is_killed_and_replaced_is_read_again(tls_server, watching):
    server = tls_server("nginx")
    w = watching(server.port)
    for _ in range(5):
        ask(server.port, "GET", "/ok", tls=True)
    net.await_closed(server.port)
    (worker,) = children(server.pid)
    os.kill(worker, signal.SIGKILL)
    until(lambda: children(server.pid) not in ([], [worker]), "another worker")
    n = settle(server.port)
    for _ in range(5):
        ask(server.port, "GET", "/missing", tls=True)
    d = w.stop()
    assert_settled(d, n)
    assert_counts({k: v for k, v in d.counts().items() if k[0] != "GET /settling"},
                  {("GET /ok", 200): 5, ("GET /missing", 404): 5})


def test_a_server_that_starts_after_the_attach_is_read(tls_server, watching):
    port = net.free_port()
    w = watching(port)
    server = tls_server("asyncio", port=port)
    n = settle(server.port)
    with Client(port, tls=True) as c:
        for target in ("/ok", "/fail", "/ok"):
            c.ask("GET", target)
    d = w.stop()
    assert_settled(d, n)
    assert_counts({k: v for k, v in d.counts().items() if k[0] != "GET /settling"},
                  {("GET /ok", 200): 2, ("GET /fail", 503): 1})


@pytest.mark.parametrize("kinds", [("nginx", "haproxy", "apache"), ("lighttpd", "caddy", "node"),
                                   ("asyncio", "threads", "boringssl --event")], ids=", ".join)
def test_connections_opened_before_the_attach_are_seen_from_their_next_request_on(kinds, tls_server, watching_each):
    """
    Handshake and first requests are older than the tool; some have been asked nothing yet. A thread or goroutine that
    waits inside the library for the next request entered it before anyone looked: what it returns with is not seen, only
    what follows; and that is said, of as many connections.
    """
    several = [tls_server(kind) for kind in kinds]
    clients = {server: [Client(server.port, tls=True) for _ in range(10)] for server in several}
    for server in several:
        for i, c in enumerate(clients[server]):
            for _ in range(i % 3):
                c.ask("GET", server.prefix + "/ok/before")
    w = watching_each(*several)
    asked = []
    for server in several:
        mine, prefix = [], server.prefix
        for c in clients[server]:
            for target in ("/ok", "/missing/1", "/ok/after"):
                mine.append(("GET", prefix + target, c.ask("GET", prefix + target).status))
            c.send(request("GET", prefix + "/ok/a") + request("GET", prefix + "/ok/b"))
            mine += [("GET", prefix + "/ok/" + x, c.answer().status) for x in "ab"]
            c.close()
        asked.append(counts(mine))
        assert_counts(counts(server.exchanges(9 + 50)), counts(mine + [("GET", prefix + "/ok/before", 200)] * 9))
    d = w.stop()
    missed = 0
    for kind, server, arm, mine in zip(kinds, several, ARMS, asked):
        first = (f"GET {server.prefix}/ok", 200)
        waiting = {"apache": 4, "threads": 10, "caddy": 10}.get(kind, 0)
        seen = d.counts(arm).get(first, 0)
        assert 10 - waiting <= seen <= 10, f"{kind}: {d}"
        assert_answered(d, {k: n for k, n in (mine | {first: seen}).items() if n}, arm)
        missed += 10 - seen
    assert d["coverage"]["opaque_tls"] == missed and d["coverage"]["complete"] == (not missed), d


def test_an_answer_under_way_at_the_attach_is_passed_over_and_the_next_request_is_counted(tmp_path, certificate, started,
                                                                                         watching):
    passes_over_a_download(started(tls_servers.nginx(tmp_path, certificate)), watching, tls=True)


def test_a_request_that_waits_for_its_answer_at_the_attach_does_not_shift_the_statuses(tmp_path, certificate, started,
                                                                                      watching):
    server, go = started(Faulty(tmp_path, tls=certificate)), tmp_path / "go"
    with Client(server.port, tls=True) as c:
        c.send(request("GET", "/before", headers=["Answer: length 10", "Status: 503", f"Script: file {go}; rest"]))
        server.await_read("/before")
        w = watching(server.port)
        go.touch()
        assert c.answer().status == 503
        for _ in range(5):
            assert c.ask("GET", "/after", headers=["Answer: length 10", "Script: rest"]).status == 200
    d = w.stop()
    assert_counts(d.counts(), {("GET /after", 200): 5})
