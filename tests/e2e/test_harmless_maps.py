# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Every map of the kernel programs full. With small maps (TILLWATCH_MAP_SIZES) a few clients do what millions would have to: the
clients see nothing of it, what was lost is told, and what comes when there is room again is counted to the last request.
"""
import contextlib
import socket
import sys
from types import SimpleNamespace

import pytest

from tw import h2, h2_servers, net, servers, tls_servers, watch
from tw.client import Client, request
from tw.lossy import Lossy
from tw.netns import Netns
from tw.oracle import assert_counts
from tw.parallel import in_parallel, in_step
from tw.proc import Child
from tw.tls import context
from tw.wait import until
from tw.witness import Witness

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")


@pytest.fixture
def small(monkeypatch):
    """small(map=entries, …): of the tool that is started next."""
    return lambda **sizes: monkeypatch.setenv("TILLWATCH_MAP_SIZES", " ".join(f"{k}={v}" for k, v in sizes.items()))


def asked(port, n, target, tls=None):
    """n connections at once, each with a request; all are open before the first asks, and answered before the first closes."""

    def work(_, ready):
        with Client(port, tls=tls) as c:
            ready()
            assert c.ask("GET", target).status == 200
            ready()

    in_step(n, work)


def of(document, name):
    """Requests of GET name, whatever became of them."""
    return sum(a["requests"] for endpoint, _, a in document.arms() if endpoint == f"GET {name}")


def incomplete(document):
    return document["coverage"]["complete"] is False


def test_a_size_that_is_not_understood_is_refused(small, nginx, tmp_path):
    path = tmp_path / "watch.yaml"
    path.write_text(watch.config_text({"v1": ("baseline", {"listen": "9"})}))
    for sizes in ({"tls_conns": "many"}, {"no_such_map": 1}, {"series": 1}, {"tls_conns": 0}):
        small(**sizes)
        r = watch.run("watch", "-c", path, "--for", "1s")
        assert r.code == 1 and "TILLWATCH_MAP_SIZES is not understood" in r.err, r


def test_more_tls_connections_than_there_is_room_for_are_told_and_the_next_ones_read(small, tmp_path, certificate, started, watching):
    small(tls_conns=4)
    server = started(tls_servers.nginx(tmp_path, certificate))
    w = watching(server.port)
    witness = started(Witness(server.port, tls=True, turns=5))
    asked(server.port, 32, "/many", tls=True)
    witness.unharmed()
    net.await_closed(server.port)
    asked(server.port, 4, "/after", tls=True)
    d = w.stop(lossless=False)
    c = d["coverage"]
    assert of(d, "/many") <= 4 and of(d, "/after") == 4, d
    assert c["desynchronised"] >= 28 and incomplete(d), d


def test_more_tls_sessions_than_there_is_room_for_are_told_and_the_next_ones_read(small, tmp_path, certificate, started, watching):
    small(tls_sessions=4)
    server = started(tls_servers.nginx(tmp_path, certificate))
    w = watching(server.port)
    asked(server.port, 32, "/many", tls=True)
    net.await_closed(server.port)
    asked(server.port, 4, "/after", tls=True)
    d = w.stop(lossless=False)
    assert of(d, "/many") <= 4 and of(d, "/after") == 4, d
    assert d["coverage"]["opaque_tls"] >= 28 and incomplete(d), d


def test_pipelines_inside_tls_beyond_the_room_for_them_are_told(small, tmp_path, certificate, started, watching):
    """Beyond four requests in flight a connection needs one."""
    small(tls_pipes=1)
    server = started(tls_servers.nginx(tmp_path, certificate))
    w = watching(server.port)
    clients = [Client(server.port, tls=True) for _ in range(8)]
    for c in clients:
        c.ask("GET", "/first")
    for c in clients:
        c.send(request("GET", "/many") * 20)
    for c in clients:
        assert [c.answer().status for _ in range(20)] == [200] * 20
        c.close()
    net.await_closed(server.port)
    asked(server.port, 8, "/after", tls=True)
    d = w.stop(lossless=False)
    assert of(d, "/first") == 8 and of(d, "/after") == 8, d
    told = d["coverage"]["desynchronised"] > 0
    assert of(d, "/many") == 160 or told and incomplete(d), d


def test_processes_beyond_those_whose_tls_is_read_are_told(small, tmp_path, certificate, started, watching):
    """One worker of four finds room, and the master none."""
    small(tls_ready=2)
    server = started(tls_servers.nginx(tmp_path, certificate, workers=4, options="reuseport"))
    w = watching(server.port)
    asked(server.port, 32, "/many", tls=True)
    d = w.stop(lossless=False)
    c = d["coverage"]
    assert of(d, "/many") + c["opaque_tls"] == 32 and c["opaque_tls"] > 0 and incomplete(d), d


def test_more_names_of_tls_than_there_is_room_for_are_counted_without(small, tmp_path, certificate, started, watching):
    small(tls_names=4)
    server = started(tls_servers.nginx(tmp_path, certificate))
    w = watching(server.port)
    for i in range(12):
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            with context().wrap_socket(plain, server_hostname=f"shop{i}.example") as c:
                c.sendall(request("GET", "/named"))
                assert c.recv(65536).startswith(b"HTTP/1.1 200")
    d = w.stop()
    assert d.counts() == {("GET /named", 200): 12} and d["coverage"]["complete"] is True, d


def test_versions_of_more_listeners_than_there_is_room_for_are_counted_and_their_losses_told(small, nginx, watching):
    small(listeners=1, doors=1)
    w_servers = [nginx(name=f"n{i}") for i in range(3)]
    w = watching(**watch.one_an_arm(*w_servers))
    for s in w_servers:
        asked(s.port, 4, "/ok")
    d = w.stop()
    assert [d.counts(arm) for arm in watch.ARMS] == [{("GET /ok", 200): 4}] * 3, d
    known = {v["version"]: (v["attempts"], v["refused"], v["uncounted"]) for v in d["versions"]}
    print(known)
    assert sum(k == (4, 0, 0) for k in known.values()) <= 1 and (None, None, None) in known.values(), known
    assert "more listeners than can be followed" in d.stderr


# Arguments: port, how many others.
LISTENERS = """
import http.server, socket, sys

class Ok(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
others = [socket.create_server(('127.0.0.1', 0)) for _ in range(int(sys.argv[2]))]
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Ok).serve_forever()
"""


def test_a_version_that_listens_at_more_than_a_thousand_places_is_counted(tmp_path, started, watching):
    """More than can be followed: of them all together one cannot tell what was refused, and does not say."""
    port = net.free_port()
    server = started(servers.Server([sys.executable, "-c", LISTENERS, port, 1100], tmp_path / "many.out", port))
    w = watching(versions={"v1": ("baseline", {"pid": server.pid})}, serving=[port])
    asked(port, 8, "/ok")
    d = w.stop()
    assert d.counts() == {("GET /ok", 200): 8} and d["coverage"]["complete"] is True, d
    assert d["versions"][0]["attempts"] is None and d["versions"][0]["refused"] is None, d["versions"]


def test_a_version_of_more_processes_than_there_is_room_for_is_told(small, tmp_path, started, watching):
    """Each request is its reader's; whose version nobody knows belongs to none, and is counted as such."""
    small(procs=1)
    first, second = started(servers.app(tmp_path, "first")), started(servers.app(tmp_path, "second"))
    w = watching(versions={"v1": ("baseline", {"pid": first.pid}), "v2": ("canary", {"pid": second.pid})},
                 serving=[first.port, second.port])
    for s in (first, second):
        asked(s.port, 8, "/ok")
    d = w.stop(lossless=False)
    print(d, d.stderr)
    assert d.requests() + d["coverage"]["unattributed"] == 16, d


def test_routes_that_push_each_other_out_are_counted_to_the_last(small, nginx, watching):
    small(routes=8)
    server = nginx()
    w = watching(server.port)
    targets = [f"/{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]
    with Client(server.port) as c:
        for _ in range(3):
            for t in targets:
                assert c.ask("GET", t).status == 200
    d = w.stop()
    assert_counts(d.counts(), {(f"GET {t}", 200): 3 for t in targets})


def test_threads_that_push_each_others_calls_out_harm_nobody_and_are_told(small, tmp_path, certificate, started, watching):
    """A TLS call of a thread is noted when it begins; with more threads inside the library than notes some are forgotten."""
    small(tls_callers=4)
    server = started(tls_servers.python_threads(tmp_path, certificate))
    w = watching(server.port)
    asked(server.port, 48, "/ok", tls=True)
    net.await_closed(server.port)
    d = w.stop(lossless=False)
    c = d["coverage"]
    assert of(d, "/ok") == 48 or incomplete(d), d
    assert of(d, "/ok") + c["opaque_tls"] >= 48, d


def test_records_that_find_no_room_in_the_ring_are_lost_and_counted_one_by_one(small, nginx, watching, started):
    """Each new route takes a record, and each exchange until it has its name: all at once they are more than 4 KiB."""
    small(ring=4096)
    server = nginx()
    w = watching(server.port)
    witness = started(Witness(server.port))
    witness.more()
    targets = [f"/{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]

    def work(i):
        with Client(server.port) as c:
            c.send(b"".join(request("GET", t) for t in targets[i::4]))
            for _ in targets[i::4]:
                assert c.answer().status == 200

    in_parallel(4, work)
    ok = witness.unharmed()
    net.await_closed(server.port)
    w.await_looks(3)
    asked(server.port, 8, "/after")
    d = w.stop(lossless=False)
    lost = d["loss"]["exchanges"]
    assert d.requests() + lost == ok + 100 + 8, d
    assert of(d, "/ok") + lost >= ok and of(d, "/after") == 8, d
    assert (lost == 0 and d["loss"]["events"] == 0) or incomplete(d), d


def test_frames_that_find_no_room_in_the_ring_are_told_and_the_next_connections_known(small, h2_server, tmp_path, watching, started):
    small(ring=16384)
    server = h2_server("nginx")
    w = watching(server.port)
    load = h2_servers.H2load(tmp_path, server, ("/many",), 30_000, 64, 8)
    witness = started(Witness(server.port, http2=True))
    assert load.wait()["succeeded"] == 30_000
    witness.unharmed()
    net.await_closed(server.port)
    w.await_looks(3)

    def work(_):
        with h2.Client(server.port) as c:
            for _ in range(5):
                assert c.get("/after").status == 200

    in_parallel(2, work)
    d = w.stop(lossless=False)
    assert d.counts()["GET /after", 200] == 10, d
    assert of(d, "/many") < 30_000, "nothing was lost: the test shows nothing"
    assert d["loss"]["events"] > 0 and incomplete(d), d


def test_segments_of_http2_that_come_too_early_for_the_room_there_is_are_told(small, h2_server, tmp_path, started, watching):
    """On a network that lets packets overtake each other. What comes in order is read: so are the next connections, from here."""
    small(h2_earlies=1, h2_chunks=1)
    far = started(Lossy(drop=0, twice=0, late=0.2))
    server = h2_server("nginx", host=far.server)
    w = watching(server.port, host=far.server)
    body = h2_servers.url(server, "/many", False)
    load = Child(["nsenter", f"--net=/run/netns/{far.name}", "h2load", "-n", "2000", "-c", "8", "-m", "8", "-H",
                  "x-long: " + "x" * 3000, body], tmp_path / "h2load.out")
    started(load)
    assert load.proc.wait(60) == 0 and "2000 succeeded, 0 failed, 0 errored" in load.log_text(), load.log_text()
    net.await_closed(server.port)
    with h2.Client(server.port, far.server) as c:
        for _ in range(5):
            assert c.get("/after").status == 200
    d = w.stop(lossless=False)
    assert far.did["late"] > 100, "nothing was overtaken: the test shows nothing"
    assert d.counts()["GET /after", 200] == 5, d
    assert of(d, "/many") < 2000 and d["coverage"]["http2"]["desynchronised"] > 0 and incomplete(d), d


def test_thousands_of_requests_in_flight_are_told_to_the_last(nginx, started, watching_each):
    """What is known of each lies with its connection: there is no room that they could fill."""
    n, other = 2000, nginx()
    with contextlib.ExitStack() as end:
        hanging = end.enter_context(socket.create_server(("127.0.0.1", net.free_port()), backlog=4096))
        w = watching_each(other, SimpleNamespace(port=hanging.getsockname()[1]))
        witness = started(Witness(other.port))
        clients = [end.enter_context(socket.create_connection(hanging.getsockname())) for _ in range(n)]
        accepted = [end.enter_context(hanging.accept()[0]) for _ in range(n)]
        for i, c in enumerate(clients):
            c.sendall(request("GET", f"/hangs/{i}"))
        for c in accepted:
            assert c.recv(65536)
        asked = witness.unharmed()
        d = w.stop(idle=True)
    assert {v["arm"]: v["ledger"]["in_flight"] for v in d["versions"]} == {"baseline": 0, "canary": n}, d
    assert d.counts() == {("GET /ok", 200): asked} and d["coverage"]["complete"] is True, d


# ---- what the kernel does not give ---------------------------------------------------------------------------------


def test_connections_that_the_kernel_gives_no_memory_for_are_told_and_the_next_ones_counted(tmp_path, started, watching):
    """The state of a connection is charged to its socket, which may have as much as net.core.optmem_max beside its buffers."""
    there = started(Netns())
    setting = "/proc/sys/net/core/optmem_max"
    try:
        most = there.run("cat", setting).strip()
    except AssertionError:
        pytest.skip("this kernel has no net.core.optmem_max for a namespace")
    port = net.free_port()
    server = started(servers.Logged([*there.inside, sys.executable, f"{servers.SERVERS}/app.py", "--port", str(port)], tmp_path,
                                    "app", port, wait=False))
    until(lambda: there.run("ss", "-Hltn").count(f":{port} "), "the listener over there")
    w = watching(versions={"v1": ("baseline", {"pid": server.pid})})
    there.asked(port, "/before", 4, 2)
    there.run("sh", "-c", f"echo 64 > {setting}")
    there.asked(port, "/many", 8, 3)
    there.run("sh", "-c", f"echo {most} > {setting}")
    there.asked(port, "/after", 4, 2)
    until(lambda: "ESTAB" not in there.run("ss", "-Htn"), "the connections' end")
    d = w.stop(lossless=False)
    assert len(server.exchanges(40)) == 40
    assert d.counts() == {("GET /before", 200): 8, ("GET /after", 200): 8}, d
    assert d["coverage"]["desynchronised"] > 0 and incomplete(d), d
