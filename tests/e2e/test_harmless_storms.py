# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Storms: connections that last for one request, processes that last for nothing. Clients see no error, and counts are exact."""
import os
import time

import pytest

from tw.leftovers import bpftool, held
from tw.load import Wrk
from tw.oracle import assert_counts, counts
from tw.proc import Child, children
from tw.wait import until
from tw.witness import Witness

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("not_in_a_dry_run")]

SECONDS = 3


def test_as_many_new_connections_a_second_as_the_machine_can_make_are_counted_to_the_last(tmp_path, nginx, started, watching):
    """The bar is 20,000 a second; how many there were is printed. wrk leaves in the middle: see test_heavy.py."""
    server = nginx(workers=2, options="backlog=4096", server="keepalive_timeout 0;")
    w = watching(server.port)
    witness = started(Witness(server.port, turns=1, pause=0.01))
    load = started(Wrk(tmp_path, server.port, ("/ok", "/missing", "/orders/8812"), 64, SECONDS, threads=2))
    said = load.wait()
    witness.unharmed()
    d = w.stop()
    server.stop()  # its log is complete when it has ended
    log = server.log()
    print(f"{len(log) / SECONDS:.0f} connections a second", d["overhead"])
    assert "Socket errors" not in said, said
    assert len(log) > 100 * SECONDS, "no storm"
    assert_counts(d.counts(), counts((line.method, line.uri, line.status) for line in log if line.sent))
    c = d["coverage"]
    assert c["complete"] is True and 0 <= c["connections"] - len({line.connection for line in log}) <= 64, d


def processes():
    """That have been started on this host since it booted."""
    with open("/proc/stat", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("processes "))


class Storm:
    """Processes that are forked, run a program and end, as fast as it goes."""

    def __init__(self, tmp, cgroup=None):
        self.began, self.before = time.monotonic(), processes()
        self.children = [Child(["sh", "-c", "while :; do /bin/true; done"], tmp / f"storm{i}", cgroup=cgroup) for i in range(2)]

    def stop(self):
        for c in self.children:
            c.stop()
        self.rate = (processes() - self.before) / (time.monotonic() - self.began)


def processes_known_to(tool):
    """Entries of the map in which the programs find a process's version."""
    mine = {n for kind, n in held([tool.pid]) if kind == "map"}
    return sum(len(bpftool("map", "dump", "id", str(m["id"]))) for m in bpftool("map", "show")
               if m["id"] in mine and m.get("name") == "procs")


@pytest.mark.parametrize("where", ["host", "cgroup"])
def test_a_thousand_short_processes_a_second_harm_nobody_and_cost_little(where, tmp_path, nginx, started, cgroup, watching):
    """Anywhere on the host; and in the cgroup by which the version is known, to which each of them belongs then."""
    path = f"/tw{os.getpid()}/storm"
    directory = cgroup(path)
    server = nginx(cgroup=directory)
    w = watching(versions={"v1": ("baseline", {"cgroup": path})}, serving=[server.port])
    witness = started(Witness(server.port, turns=10))
    storm = started(Storm(tmp_path, directory if where == "cgroup" else None))
    until(lambda: time.monotonic() - storm.began > SECONDS, "the storm", 30)
    storm.stop()
    asked = witness.unharmed()
    # Those that ended while their version was being found are forgotten at the next look at the host, a second later.
    until(lambda: processes_known_to(w) <= 1 + len(children(server.pid)), lambda: f"{processes_known_to(w)} to be forgotten", 5, 0.2)
    d = w.stop()
    print(f"{storm.rate:.0f} processes a second", d["overhead"], d["seconds"])
    assert storm.rate > 50, "no storm"
    assert_counts(d.counts(), {("GET /ok", 200): asked})
    assert d["coverage"]["complete"] is True, d
