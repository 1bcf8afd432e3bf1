# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the host may do to the tool, and two tools to each other: its cgroup goes, its network namespace goes, it is stopped, its
ring overflows while servers come and go. Clients see nothing of it; afterwards counts are exact again.
"""
import json
import os
import signal
import subprocess
import sys

import pytest

from conftest import removed
from tw import net, servers, tls_servers, watch
from tw.client import Client, ask, request
from tw.load import Wrk
from tw.proc import Child
from tw.netns import Netns
from tw.oracle import assert_counts, counts
from tw.wait import pause, until
from tw.witness import Witness

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")


def programs_at(directory):
    out = subprocess.run(["bpftool", "-j", "cgroup", "show", directory], capture_output=True, check=False).stdout
    return {p["name"] for p in json.loads(out.strip() or "[]")}


@pytest.mark.parametrize("by", ["cgroup", "listen"])
def test_a_service_is_counted_again_when_its_cgroup_has_gone_and_come_back(by, tmp_path, started, cgroup, watching):
    """As when a unit is restarted: the programs go with the old cgroup, and are at the new one as soon as there is a listener."""
    path = f"/tw{os.getpid()}/{by}"
    directory, port = cgroup(path), net.free_port()
    server = started(servers.app(tmp_path, "first", port=port, cgroup=directory))
    w = watching(versions={"v1": ("baseline", {"cgroup": path} if by == "cgroup" else {"listen": str(port)})}, serving=[port])
    for _ in range(5):
        ask(port, "GET", "/before")
    for again in "abc":
        net.await_closed(port)
        server.stop()
        until(lambda: removed(directory), "the cgroup to be empty")
        os.mkdir(directory)
        server = started(servers.app(tmp_path, again, port=port, cgroup=directory))
        until(lambda: {"tw_ingress", "tw_egress"} <= programs_at(directory), "the programs to be at the new cgroup", 20)
        w.await_looks(5)  # they may have come there before the listener
        for _ in range(5):
            ask(port, "GET", f"/after/{again}")
    d = w.stop()
    assert_counts({k: n for k, n in d.counts().items() if k[0] != "GET /"},
                  {("GET /before", 200): 5, **{(f"GET /after/{x}", 200): 5 for x in "abc"}})


# Arguments: directory of the cgroup, port. A listener in a new cgroup, again and again, until it is told to end.
COMES_AND_GOES = """
import os, signal, socket, sys, time

directory, port, go = sys.argv[1], int(sys.argv[2]), [True]
signal.signal(signal.SIGTERM, lambda *_: go.clear())
while go:
    os.makedirs(directory, exist_ok=True)
    child = os.fork()
    if not child:
        with open(os.path.join(directory, 'cgroup.procs'), 'w') as f:
            f.write(str(os.getpid()))
        with socket.create_server(('127.0.0.1', port)):
            time.sleep(0.01)
        os._exit(0)
    os.waitpid(child, 0)
    os.rmdir(directory)
"""


def test_a_cgroup_that_comes_and_goes_while_it_is_looked_at_hinders_nobody(tmp_path, nginx, started, cgroup, watching):
    """Between finding a listener and attaching to its cgroup that may have gone: at the start as well as later."""
    directory, port, other = cgroup(f"/tw{os.getpid()}/gone"), net.free_port(), nginx(cgroup=cgroup(f"/tw{os.getpid()}/stays"))
    witness = started(Witness(other.port))
    churn = Child([sys.executable, "-c", COMES_AND_GOES, directory, port], tmp_path / "churn")
    started(churn)
    w = watching(versions={"v1": ("baseline", {"listen": f"127.0.0.1:{port}"}),
                           "v2": ("canary", {"listen": f"127.0.0.1:{other.port}"})}, serving=[port])
    witness.more(500)
    assert churn.stop() == 0, churn.log_text()
    os.makedirs(directory, exist_ok=True)
    started(servers.app(tmp_path, port=port, cgroup=directory))
    until(lambda: {"tw_ingress", "tw_egress"} <= programs_at(directory), "the programs to be at the new cgroup", 20)
    w.await_looks(5)
    for _ in range(5):
        ask(port, "GET", "/after")
    d = w.stop()
    assert d.counts()["GET /after", 200] == 5, d
    witness.unharmed()


def test_a_network_namespace_that_goes_is_let_go_of_and_its_successor_counted(tmp_path, started, watching):
    port = net.free_port()

    def serve(name):
        there = started(Netns())
        server = started(servers.Logged([*there.inside, sys.executable, f"{servers.SERVERS}/app.py", "--port", str(port)], tmp_path,
                                        name, port, wait=False))
        until(lambda: there.run("ss", "-Hltn").count(f":{port} "), "the listener over there")
        return there, server

    there, server = serve("first")
    w = watching(versions={"v1": ("baseline", {"listen": str(port)})})
    there.asked(port, "/before", 3, 2)
    device = there.canary()
    server.stop()
    there.close()
    until(lambda: not os.path.exists(f"/sys/class/net/{device}"), "the kernel to free the namespace: somebody holds it", 15)
    there, server = serve("second")
    there.asked(port, "/after", 3, 2)
    server.stop()
    d = w.stop()
    assert_counts(d.counts(), {("GET /before", 200): 6, ("GET /after", 200): 6})


# ---- two of them ---------------------------------------------------------------------------------------------------


def test_two_observers_of_one_service_are_both_exact_whatever_becomes_of_the_other(tmp_path, nginx, certificate, h2_server, started,
                                                                                   watching_each):
    """In plain, inside TLS, where both have their probes at the same places, and over HTTP/2."""
    shops = nginx(name="plain"), started(tls_servers.nginx(tmp_path, certificate, name="tls")), h2_server("nginx")
    asked = [0, 0, 0]

    def go(during=lambda: None):
        witnesses = [Witness(s.port, tls=i == 1 or None, http2=i == 2, turns=10) for i, s in enumerate(shops)]
        for one in witnesses:
            one.more(100)
        during()
        for i, one in enumerate(witnesses):
            if not one.failures:
                one.more(100)
            asked[i] += one.unharmed()
        for s in shops:
            net.await_closed(s.port)

    def exact(document):
        for arm, n in zip(watch.ARMS, asked):
            assert_counts(document.counts(arm), {("GET /ok", 200): n})
        assert document["coverage"]["complete"] is True, document

    first, second = watching_each(*shops), watching_each(*shops)
    go()
    exact(first.stop())
    third = watching_each(*shops)
    go(lambda: third.child.stop(signal.SIGKILL))
    exact(second.stop())


# ---- stopped, and its ring full ------------------------------------------------------------------------------------


def test_an_observer_that_is_stopped_under_full_load_loses_no_request_of_a_known_route(tmp_path, nginx, started, watching):
    """wrk leaves in the middle of requests; those of which nginx could not send a byte have no status on the wire."""
    server, targets = nginx(), ("/ok", "/missing", "/boom")
    w = watching(server.port, endpoints=["GET /ok", "GET /missing", "GET /boom"])
    witness = started(Witness(server.port))
    load = started(Wrk(tmp_path, server.port, targets, 16, 3))
    w.child.kill(signal.SIGSTOP)
    pause(1.5)
    w.child.kill(signal.SIGCONT)
    load.wait()
    witness.unharmed()
    net.await_closed(server.port)
    for _ in range(5):
        ask(server.port, "GET", "/after")
    d = w.stop()
    server.stop()  # its log is complete when it has ended
    assert_counts(d.counts(), counts((line.method, line.uri, line.status) for line in server.log() if line.sent))
    assert d["coverage"]["complete"] is True, d


def test_servers_that_start_while_the_ring_is_full_are_found_when_it_is_read_again(tmp_path, nginx, started, watching, monkeypatch):
    """What told of their start is lost, as it found no room: so the tool looks for itself."""
    monkeypatch.setenv("TILLWATCH_MAP_SIZES", "ring=4096")
    other, version = nginx(), {"SHOP_VERSION": "one"}
    started(servers.app(tmp_path, "first", env=version))
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=one"}), "v2": ("canary", {"listen": str(other.port)})})
    w.child.kill(signal.SIGSTOP)
    with Client(other.port) as c:
        for i in range(100):
            c.send(request("GET", f"/{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}"))
            assert c.answer().status == 200
    server = started(servers.app(tmp_path, "second", env=version))
    witness = started(Witness(server.port, target="/settling"))
    witness.more()
    w.child.kill(signal.SIGCONT)
    pause(4)  # it looks at its ledger each second, and then, three after the last time, at the host
    witness.unharmed()
    for _ in range(5):
        ask(server.port, "GET", "/after")
    net.await_closed(server.port)
    d = w.stop(lossless=False)
    assert d["loss"]["events"] > 0, "nothing was lost: the test shows nothing"
    assert d.counts().get(("GET /after", 200)) == 5, d
    assert d["coverage"]["complete"] is False
