# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The short end-to-end set of a guest: nginx under curl, h2load and nghttp, over HTTP/1 and HTTP/2, plain and over TLS, and
both fault benches, under one `tillwatch watch`. What each kernel must give follows from its findings, which are held
against tests/kernels/gives outside: a figure that needs what this kernel has not must be null, and the tool must say so.

    exchanges.py DOCTOR.json OUT     OUT: where the tool's document and messages are left. Ends as the tests do.
"""
import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from tw import faults, h2, h2faults, net, tls  # noqa: E402
from tw.oracle import assert_counts, counts  # noqa: E402
from tw.proc import state  # noqa: E402
from tw.servers import Nginx  # noqa: E402
from tw.wait import until  # noqa: E402
from tw.watch import Watch  # noqa: E402

STOPPED = 0.4  # seconds
ROUNDS = {"plain": 20, "tls": 3, "h2": 40, "h2s": 10}
# Requests that the bench's server never reads: over TLS nobody can name them. tests/e2e/test_tls_outcomes.py has that.
UNREAD = ("body_unread", "close_with_body_unread", "pipeline_unread")


class Findings:
    """What doctor found of this kernel."""

    def __init__(self, path):
        self.ok = {f["name"]: f["ok"] for f in json.loads(pathlib.Path(path).read_text())["findings"]}

    def __getattr__(self, name):
        return {
            "reads": self.ok["tp_btf/tcp_rcv_space_adjust"],
            "ends": self.ok["tp_btf/tcp_destroy_sock"],
            "tls": self.ok["tp_btf/tcp_rcv_space_adjust"] and (self.ok["uprobe"] or self.ok["uprobe.multi"]),
            "in_flight": self.ok["iter/bpf_sk_storage_map"] and self.ok["iter/bpf_map_elem"],
            "refused": self.ok.get("tp_btf/tcp_send_reset", False) or self.ok.get("tp_btf/kfree_skb", False),
        }[name]


def cgroup(name):
    """A group that is there for this run; the guest ends with it."""
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    path = os.path.join(next(v[1] for v in mounts if v[2] == "cgroup2"), name)
    os.makedirs(path, exist_ok=True)
    return path


class Servers:
    """nginx on four ports, and four misbehaving servers. Each kind in a cgroup, which is the version."""

    def __init__(self, tmp):
        pem = tls.make_certificate(tmp)
        self.ports = {kind: net.free_port() for kind in ("tls", "h2", "h2s")}
        listen = " ".join(f"listen 127.0.0.1:{self.ports[kind]} {how};"
                          for kind, how in (("tls", "ssl"), ("h2", "http2"), ("h2s", "ssl http2")))
        self.nginx = Nginx(tmp, cgroup=cgroup("tw-nginx"), server=listen,
                           http=f"ssl_certificate {pem}; ssl_certificate_key {pem};")
        self.ports["plain"] = self.nginx.port
        self.h1 = [faults.Faulty(tmp, name=f"h1-{i}", tls=t, cgroup=cgroup("tw-h1")) for i, t in enumerate((None, pem))]
        self.h2 = [h2faults.Faulty(tmp, name=f"h2-{i}", tls=t, cgroup=cgroup("tw-h2")) for i, t in enumerate((None, pem))]

    def all(self):
        return [self.nginx, *self.h1, *self.h2]

    def serving(self):
        return [*self.ports.values(), *(s.port for s in self.h1 + self.h2)]

    def stop(self):
        for s in self.all():
            s.stop()


VERSIONS = {"nginx": ("baseline", {"cgroup": "/tw-nginx"}), "h1": ("canary", {"cgroup": "/tw-h1"}),
            "h2": ("other", {"cgroup": "/tw-h2"})}


class Traffic:
    """What is asked of the servers, by whom, and what the clients saw."""

    def __init__(self, servers):
        self.servers = servers
        self.asked = {kind: n * 3 for kind, n in ROUNDS.items()}
        self.asked["h2"] += 1
        self.h1, self.h2 = [], []

    @staticmethod
    def _targets(kind):
        return f"/{kind}", f"/missing/{kind}", f"/boom/{kind}"

    def _run(self, *argv):
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout} {done.stderr}"

    def _curl(self, kind, scheme, *options):
        """One after the other, on a connection that curl keeps."""
        port = self.servers.ports[kind]
        urls = [f"{scheme}://127.0.0.1:{port}{target}" for _ in range(ROUNDS[kind]) for target in self._targets(kind)]
        self._run("curl", "-s", "-k", *options, *(word for url in urls for word in ("-o", "/dev/null", url)))

    def _h2load(self, kind, scheme):
        port = self.servers.ports[kind]
        for target in self._targets(kind):
            self._run("h2load", "-n", ROUNDS[kind], "-c", 2, "-m", 5, f"{scheme}://127.0.0.1:{port}{target}")

    def nginx(self):
        self._curl("plain", "http", "--http1.1")
        self._curl("tls", "https", "--http1.1")
        self._h2load("h2", "http")
        self._h2load("h2s", "https")
        self._run("nghttp", "-n", f"http://127.0.0.1:{self.servers.ports['h2']}/h2")

    def stopped(self):
        """A request that waits for its server, which is stopped."""
        server = self.servers.h1[0]
        d = faults.Dialogue(faults.Case("waits", "rest", "answered 200"), server.port)
        try:
            server.child.kill(signal.SIGSTOP)
            until(lambda: state(server.pid) == "T", "the server to be stopped")
            d.send()
            threading.Event().wait(STOPPED)
            server.child.kill(signal.SIGCONT)
            d.drain()
            d.leave()
            assert d.outcomes() == ["answered 200"]
        finally:
            d.client.close()

    def faults(self):
        plain, secure = self.servers.h1
        self.h1.append(faults.play_all(faults.CASES, 1, plain.port, threads=2))
        readable = [case for case in faults.CASES if case.name not in UNREAD]
        self.h1.append(faults.play_all(readable, 1, secure.port, threads=2, tls=tls.context()))
        for server, context in zip(self.servers.h2, (None, h2.context())):
            self.h2.append(faults.play_all(h2faults.CASES, 1, server.port, threads=2, tls=context))

    def refused(self):
        """Asked of a port where somebody listened until now."""
        server = self.servers.h1[0]
        server.stop(signal.SIGKILL)
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
        except ConnectionRefusedError:
            return
        raise AssertionError(f"somebody listens on {server.port}")


# ---- what must be so: each function a sentence, with what was seen and what this kernel has ------------------------


def every_request_to_nginx_is_counted_as_in_its_log(d, seen, has):
    readable = ("plain", "tls", "h2", "h2s") if has.tls else ("plain", "h2")
    log = [e for e in seen.log if e[1].rsplit("/", 1)[1] in readable]
    assert len(log) == sum(seen.traffic.asked[kind] for kind in readable), "nginx's log and its clients differ"
    assert_counts(d.counts("baseline"), counts(log))


def _total(records):
    out = collections.defaultdict(collections.Counter)
    for record in records:
        for endpoint, outcomes in record.items():
            out[endpoint].update(outcomes)
    return out


def each_fault_is_counted_as_its_client_saw_it(d, seen, has):
    faults.assert_record(d, _total(seen.traffic.h1 if has.tls else seen.traffic.h1[:1]), "canary")


def each_fault_of_http2_is_counted_as_its_client_saw_it(d, seen, has):
    record = _total(seen.traffic.h2 if has.tls else seen.traffic.h2[:1])
    faults.assert_record(d, h2faults.exchanges(record), "other")


def what_is_inside_tls_is_seen_or_said_to_be_opaque(d, seen, has):
    c = d["coverage"]
    if has.tls:
        assert c["opaque_tls"] == 0 and c["complete"] is True, c
        assert c["tls"]["connections"] >= 1, c
    else:
        assert c["opaque_tls"] > 0 and c["complete"] is False, c


def no_connection_is_misunderstood(d, seen, has):
    c = d["coverage"]
    assert c["desynchronised"] == c["not_http"] == 0, c


def the_time_in_the_queue_is_that_for_which_the_server_was_stopped_or_null(d, seen, has):
    of = d.latency("GET /waits", "queue", "canary")
    assert d.latency("GET /waits", "total", "canary")["max"] >= STOPPED - 0.01
    if has.reads:
        assert of["max"] >= STOPPED - 0.01, of
        assert d.latency("GET /waits", "service", "canary")["max"] < STOPPED, "it is service that took so long"
    else:
        assert of["max"] is None and of["p50"] is None, of


def the_ledger_balances_or_is_null(d, seen, has):
    for ledger in [d["ledger"]] + [v["ledger"] for v in d["versions"]]:
        if has.ends and has.in_flight:
            assert ledger["balanced"] is True and ledger["in_flight"] == 0, ledger
        else:
            assert ledger["balanced"] is None, ledger


def connections_refused_are_counted_or_null(d, seen, has):
    refused = {v["version"]: v["refused"] for v in d["versions"]}
    assert refused["h1"] == (1 if has.refused else None), refused


def what_the_kernel_passed_over_and_nobody_made_good_is_told(d, seen, has):
    """bpftool's figures are of a moment before the end."""
    told = d["loss"]["passed_over"]
    if told is None:
        assert not seen.misses, seen.misses
        return
    twice = {n: seen.misses.get(n, 0) for n in ("tw_read", "tw_destroy", "tw_fail")}
    print(f"      passed over: {seen.misses}, told: {told}")
    assert told["reads"] <= twice["tw_read"] and told["ends"] <= twice["tw_destroy"], (told, seen.misses)
    once = sum(n for name, n in seen.misses.items() if name not in twice and not name.endswith("_again"))
    assert told["others"] >= once, (told, seen.misses)
    assert d["loss"]["events"] >= told["reads"] + told["ends"], d["loss"]


def what_is_not_measured_is_said_to_be_not_measured(d, seen, has):
    c = d["coverage"]
    assert (c["queue_measured"], c["in_flight_measured"]) == (has.reads, has.in_flight), c


CHECKS = [
    every_request_to_nginx_is_counted_as_in_its_log,
    each_fault_is_counted_as_its_client_saw_it,
    each_fault_of_http2_is_counted_as_its_client_saw_it,
    what_is_inside_tls_is_seen_or_said_to_be_opaque,
    no_connection_is_misunderstood,
    the_time_in_the_queue_is_that_for_which_the_server_was_stopped_or_null,
    the_ledger_balances_or_is_null,
    connections_refused_are_counted_or_null,
    what_the_kernel_passed_over_and_nobody_made_good_is_told,
    what_is_not_measured_is_said_to_be_not_measured,
]


def misses():
    """How often the kernel has passed over each of the tool's programs, as bpftool tells it."""
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True, check=True).stdout
    return {p["name"]: p["recursion_misses"] for p in json.loads(shown) if p.get("recursion_misses")}


class Seen:
    """One watched run: the document, and everything that was seen from outside."""

    def __init__(self, tmp, out):
        servers = Servers(tmp)
        try:
            watch = Watch(tmp, versions=VERSIONS)
            try:
                self.traffic = Traffic(servers)
                for part in (self.traffic.stopped, self.traffic.nginx, self.traffic.faults, self.traffic.refused):
                    began = time.monotonic()
                    part()
                    print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
                self.log = servers.nginx.exchanges(sum(self.traffic.asked.values()))
                self.misses = misses()
                watch.serving = servers.serving()
                self.document = watch.stop()
            finally:
                watch.discard()
                self.messages = watch.stderr()
                (out / "watch.json").write_text(watch.stdout())
                (out / "watch.messages").write_text(self.messages)
        finally:
            servers.stop()


def main():
    has, out = Findings(sys.argv[1]), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as tmp:
        seen = Seen(pathlib.Path(tmp), out)
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            check(seen.document, seen, has)
            print(f"ok    {name}")
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
