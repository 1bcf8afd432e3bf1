# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Where reading TLS takes more than it may, a part of the workers is read. Oracle: nginx's log, with the process of each
request.
"""
import collections
import re
import time

from tw import tls_servers
from tw.client import Client
from tw.load import Wrk
from tw.wait import until

WORKERS = 4
BIG = 12 << 20  # more than the buffers of both ends
LEAVES = 5.0  # s: what is in flight is followed for so long


def start(tmp, certificate, started, workers=WORKERS):
    """nginx that spreads connections evenly, and logs the worker of each request in by_worker."""
    server = started(tls_servers.nginx(
        tmp, certificate, workers=workers, options="reuseport",
        settings="log_format worker '$pid $request_uri';", server=f"access_log {tmp}/worker.log worker;"))
    server.file("big", b"x" * BIG)
    server.by_worker = lambda uri: collections.Counter(
        line.split()[0] for line in (tmp / "worker.log").read_text().splitlines() if line.split()[1] == uri)
    return server


def said(w, what, seconds):
    return until(lambda: re.search(what, w.stderr()), lambda: f"{what!r}; it said {w.stderr()!r}", seconds, pause=0.05)


def all_ask(clients, uri):
    for c in clients:
        assert c.ask("GET", uri).status == 200
    return len(clients)


class Paused:
    """A download that has begun and is not read on."""

    def __init__(self, port):
        self.client = Client(port, tls=True)
        self.client.send(b"GET /files/big HTTP/1.1\r\nHost: shop.example\r\n\r\n")

    def finish(self):
        got = self.client.answer("GET")
        assert got.status == 200 and len(got.body) == BIG
        self.client.close()


def test_beyond_the_budget_a_part_of_the_workers_is_read_until_the_load_falls(tmp_path, certificate, started, watching):
    server = start(tmp_path, certificate, started)
    w = watching(server.port, extra="overhead: { budget: 5% }\n")
    load = started(Wrk(tmp_path, server.port, ("/load",), 32, scheme="https"))
    kept = [Client(server.port, tls=True) for _ in range(32)]
    all_ask(kept, "/before")
    paused = [Paused(server.port) for _ in range(12)]
    step = said(w, r"more than the budget of 5 %: from now on it is read in ([123]) of 4 workers of v1", 60)
    load.stop()
    read = int(step[1])

    asked, end = 0, time.monotonic() + LEAVES + 2
    while time.monotonic() < end:
        asked += all_ask(kept, "/after")
        fresh = [Client(server.port, tls=True) for _ in range(16)]
        asked += all_ask(fresh, "/after")
        for c in fresh:
            c.close()
        time.sleep(0.05)
    for p in paused:
        p.finish()

    # One worker more, whose connections are joined where they are.
    room = r"room in the overhead budget again: TLS is read in ([234]) of 4 workers of v1"
    found = until(lambda: all_ask(kept, "/returning") and re.search(room, w.stderr()), "the load to have fallen", 120, pause=1)
    more = int(found[1])
    time.sleep(2)  # its programs are placed in it again
    all_ask(kept, "/joined")
    again = [Client(server.port, tls=True) for _ in range(16)]
    all_ask(kept + again, "/again")
    for c in kept + again:
        c.close()
    d = w.stop()

    # Those that are read, to the last request; the others as turns.
    by_worker = server.by_worker("/after")
    assert sum(by_worker.values()) == asked and len(by_worker) == WORKERS
    counts = {name: a["outcomes"] for name, arm, a in d.arms()}
    assert counts["GET /before"]["answered"] == 32
    assert is_sum_of(counts["GET /after"]["answered"], by_worker, read), (counts, by_worker)
    assert more == read + 1
    assert is_sum_of(counts["GET /again"]["answered"], server.by_worker("/again"), more), (counts, server.by_worker("/again"))
    # Nothing is lost, broken or slow for having been left alone.
    for name, outcomes in counts.items():
        bad = {k for k, n in outcomes.items() if n} - {"answered"}
        assert not bad or (name == "GET /load" and bad <= {"reset_by_client", "client_abandoned"}), counts
    for name in ("GET /after", "GET /returning", "GET /again"):
        assert d.latency(name)["max"] < 5
    c, tls = d["coverage"], d["versions"][0]["tls"]
    assert c["complete"] is False and c["opaque_tls"] == c["tls"]["withheld"] == tls["withheld"] > 0
    assert tls["workers"] == {"known": WORKERS, "read": more}
    assert tls["withheld_turns"]["count"] >= asked - counts["GET /after"]["answered"]
    assert tls["turns"]["begun"] == 0 and c["tls"]["unjoined"] == c["tls"]["mismatched"] == 0
    assert "(budget)" in c["tls"]["opaque_reasons"][0]["text"]


def is_sum_of(n, by_worker, k):
    """Is it what exactly k of the workers have served?"""
    sums = {(0, 0)}
    for served in by_worker.values():
        sums |= {(count + 1, total + served) for count, total in sums}
    return (k, n) in sums


def test_without_a_budget_all_workers_are_read_at_any_cost(tmp_path, certificate, started, watching):
    server = start(tmp_path, certificate, started)
    w = watching(server.port, extra="overhead: { budget: off }\n")
    load = started(Wrk(tmp_path, server.port, ("/load",), 32, 16, scheme="https"))
    load.wait()
    d = w.stop()
    assert d["coverage"]["complete"] is True and d["coverage"]["opaque_tls"] == 0
    tls = d["overhead"]["tls"]
    assert tls["budget"] is None and tls["exceeded"] is False and tls["estimated"] is True
    # Two traps an exchange at least, and none of them free.
    assert 500 < tls["ns_per_exchange"] < 1e6 and 0 < tls["of_service"] < 1 and tls["cores"] > 0.001
    assert d["versions"][0]["tls"]["workers"] == {"known": WORKERS, "read": WORKERS}


def test_one_worker_stays_whole_and_it_is_said_that_the_budget_is_exceeded(tmp_path, certificate, started, watching):
    server = start(tmp_path, certificate, started, workers=1)
    w = watching(server.port, extra="overhead: { budget: 0.1% }\n")
    load = started(Wrk(tmp_path, server.port, ("/load",), 8, 14, scheme="https"))
    said(w, r"more than the budget of 0.1 %; of each version one worker is read, which is the least", 60)
    load.wait()
    d = w.stop()
    assert d["coverage"]["complete"] is True and d["coverage"]["opaque_tls"] == 0
    assert d["overhead"]["tls"]["exceeded"] is True
    assert d["versions"][0]["tls"]["workers"] == {"known": 1, "read": 1}
