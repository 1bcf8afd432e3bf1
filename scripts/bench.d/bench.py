#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Interleaved load runs with and without observers. See --help, and ../README.md for what the columns mean.

Every run is compared with the bare run of its own round, so that what drifts on the machine (frequency, neighbours)
is in both. Kernel time is taken in extra runs, because the kernel's run-time statistics themselves cost time.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time

import beside
import host
import http2
import observers
import table
import tls

ROOT = pathlib.Path(__file__).resolve().parents[2]
STARTED = time.monotonic()
DISTURBED = 0.05  # share of a processor that others may take from a run before it is made again


def options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="What tillwatch costs, and whether it counts "
                                     "everything. Some fifty minutes; --quick ten.")
    parser.add_argument("--quick", action="store_true", help="short runs, for a first impression")
    parser.add_argument("--rounds", type=int, help="rounds of every comparison (default 10, quick 2)")
    parser.add_argument("--seconds", type=int, help="seconds of one run (default 4, quick 2)")
    parser.add_argument("--connections", type=int, default=64, help="connections of wrk (default 64)")
    parser.add_argument("--without", action="append", default=[], metavar="NAME",
                        choices=("tillwatch", "bpftrace", "access-log", "work100", "unwatched", "kernel-time",
                                 "functions", "plain", "h2", "h2-tls", "h2-long", "httpry", "tailer", "sidecar"),
                        help="leave out a row or a part: %(choices)s")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the raw output (default bench-out/TIME)")
    parser.add_argument("--only", choices=("plain", "tls", "http2", "beside"),
                        help="only the rows of HTTP/1 without or with TLS, of HTTP/2, or those beside other observers")
    chosen = parser.parse_args()
    rounds = os.environ.get("BENCH_ROUNDS", "")
    if rounds and not re.fullmatch(r"[1-9]\d{0,3}", rounds):
        parser.error(f"BENCH_ROUNDS={rounds}: it has to be a number from 1 to 9999")
    chosen.rounds = chosen.rounds or int(rounds or 0) or (2 if chosen.quick else 10)
    chosen.seconds = chosen.seconds or (2 if chosen.quick else 4)
    chosen.out = chosen.out or ROOT / "bench-out" / time.strftime("%Y%m%d-%H%M%S")
    return chosen


class Bench:
    """One bench: its servers, its raw output, its rows."""

    def __init__(self, chosen, directory):
        self.chosen, self.out = chosen, chosen.out
        self.cgroups = host.Cgroups()
        self.cpus = host.Cpus()
        self.tools = observers.Tools(ROOT, directory, self.out)
        self.watched = host.Nginx(directory / "watched", self.cgroups.make("watched"), self.cpus.server)
        self.other = host.Nginx(directory / "other", self.cgroups.make("other"), self.cpus.server)
        self.work100 = host.Work100(directory, self.cgroups.make("work100"), self.cpus.server)
        self.tls = tls.Tls(self, directory)
        self.http2 = http2.Http2(self, directory, self.tls.pem)
        self.beside = beside.Beside(self, directory, self.tls)
        self.rows = []
        self.runs = 0
        self.repeat_budget = 0 if chosen.quick else 120  # seconds

    def close(self):
        for server in (self.watched, self.other, self.work100, self.tls, self.http2, self.beside):
            server.stop()
        self.cgroups.remove()

    def run(self, name, observer, server, url, seconds):
        """One run; once more when other processes of this machine held the two processors for a part of it."""
        result = self.run_once(name, observer, server, url, seconds)
        if result["disturbed"] > DISTURBED and self.repeat_budget > 0:
            began = time.monotonic()
            result = self.run_once(name, observer, server, url, seconds)
            self.repeat_budget -= time.monotonic() - began
        return result

    def run_once(self, name, observer, server, url, seconds, one_cpu=False):
        """one_cpu: the load shares the server's processor; each waits for the other, which is no disturbance then."""
        self.runs += 1
        raw = self.out / f"{self.runs:03d}-{name}"
        print(f"[{time.monotonic() - STARTED:4.0f} s] {name} ...", file=sys.stderr, end="", flush=True)
        observer.start(raw)
        try:
            served, agent, began = server.handled(), observer.cpu_seconds(), time.monotonic()
            ran, waited = host.scheduled(server.pid)
            cpu = self.cpus.server if one_cpu else self.cpus.load
            result = (server.load or host.wrk)(cpu, url, server.connections or self.chosen.connections, seconds, raw)
            ran, waited = (b - a for a, b in zip((ran, waited), host.scheduled(server.pid)))
            agent, wall = observer.cpu_seconds() - agent, time.monotonic() - began
            if not result["requests"]:
                raise host.BenchError(f"{name}: not one request was answered in {seconds} s; is the machine busy?")
            result.update(agent_cpu=agent / wall, agent_seconds=agent, agent_rss=observer.rss(), handled=server.handled_since(served),
                          server_cpu_per_request=ran / result["requests"],
                          cpu_per_request=(ran + result["load_cpu"] + agent) / result["requests"],
                          # The observer's own process is part of what is measured, not a disturbance.
                          disturbed=0 if one_cpu else max(0.0, waited + result["load_waited"] - agent) / wall)
            result.update(observer.kernel_time(result["handled"] or result["requests"]))
            # Not where the load generator idles: a read need not cost it then what it does at saturation.
            if observer.measure_kernel and observer.reads and server is self.watched and not one_cpu:
                result.update(self.load_side(observer, raw))
        finally:
            counted = observer.stop()
        result["counted"] = counted
        if observer.document:
            result["losses"] = http2.losses(observer.document)
        raw.with_suffix(".json").write_text(json.dumps(result, indent=1))
        note = f", others held {result['disturbed']:.0%} of a processor" if result["disturbed"] > DISTURBED else ""
        print(f" {result['requests'] / result['seconds']:.0f} requests/s{note}", file=sys.stderr)
        return result

    def load_side(self, observer, raw):
        """The same programs, and a server that they do not watch: all that is left is reads of no interest."""
        served = self.other.handled()
        host.wrk(self.cpus.load, self.other.url, self.chosen.connections, 1, raw.with_name(f"{raw.name}-load-side"))
        return observer.load_side(self.other.handled_since(served))

    def compare(self, title, server, contestants, seconds, rounds=None):
        """contestants: (name, observer, url). The first is the bare one. rounds: None for the bench's own."""
        results = {name: [] for name, _, _ in contestants}
        row = {"title": title, "results": results, "kernel": {}, "kernel_one_cpu": {}, "bare": contestants[0][0]}
        slug = title.split()[0].rstrip(":")
        for _ in range(rounds or self.chosen.rounds):
            for name, observer, url in contestants:
                results[name].append(self.run(f"{slug}-{name}", observer, server, url, seconds))
        if self.wanted("kernel-time"):
            with host.bpf_statistics():
                for contestant in contestants:
                    self.kernel_times(row, slug, contestant, server, seconds)
        self.rows.append(row)

    def kernel_times(self, row, slug, contestant, server, seconds):
        name, observer, url = contestant
        if not observer.has_programs:
            return
        observer.measure_kernel = self.tools.empty_program(server.cgroup, self.other.cgroup)
        row["kernel"][name] = self.run(f"{slug}-{name}-kernel-time", observer, server, url, seconds)
        if observer.reads and server is self.watched and self.cpus.count > 1:
            row["kernel_one_cpu"][name] = self.run_once(f"{slug}-{name}-kernel-time-one-cpu", observer, server, url,
                                                        seconds, one_cpu=True)
        observer.measure_kernel = None

    def wanted(self, name):
        return name not in self.chosen.without

    def main_rows(self):
        bare = observers.Nobody()
        contestants = [("bare", bare, self.watched.url)]
        if self.wanted("tillwatch"):
            contestants.append(("tillwatch", self.tools.tillwatch(self.watched.port, self.watched.second_port),
                                self.watched.url))
        if self.wanted("bpftrace"):
            contestants.append(("bpftrace", self.tools.bpftrace(self.watched.pid), self.watched.url))
        if self.wanted("access-log"):
            contestants.append(("access-log", observers.AccessLog(self.watched), self.watched.logging_url))
        self.compare("nginx return 200", self.watched, contestants, self.chosen.seconds)

    def side_seconds(self):
        return max(2, self.chosen.seconds * 3 // 4)

    def side_rows(self):
        if not self.wanted("tillwatch"):
            return
        seconds = self.side_seconds()
        if self.wanted("work100"):
            self.compare("work100: 100 us a request", self.work100, [
                ("bare", observers.Nobody(), self.work100.url),
                ("tillwatch", self.tools.tillwatch(self.work100.port, self.watched.second_port), self.work100.url),
            ], seconds)
        if self.wanted("unwatched"):
            self.compare("unwatched nginx, tillwatch on another", self.other, [
                ("bare", observers.Nobody(), self.other.url),
                ("tillwatch", self.tools.tillwatch(self.watched.port, self.watched.second_port, watches=False),
                 self.other.url),
            ], seconds)

    def report(self):
        long = self.http2.long
        text = table.render(self.rows, self.cpus.describe(), self.chosen, DISTURBED, long,
                            list(beside.lines(self.rows, DISTURBED)))
        (self.out / "results.json").write_text(json.dumps(self.rows + ([{"long": long}] if long else []), indent=1))
        (self.out / "table.txt").write_text(text)
        beside.draw(self.rows, DISTURBED, self.out / "beside.svg")
        print(text, end="")
        print(f"Raw output: {os.path.relpath(self.out)}", file=sys.stderr)


def main():
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen.out.mkdir(parents=True, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="tillwatch-bench."))
    directory.chmod(0o711)
    bench = None
    try:
        bench = Bench(chosen, directory)
        if chosen.only in (None, "plain"):
            bench.main_rows()
            bench.side_rows()
        if chosen.only in (None, "tls"):
            bench.tls.rows()
        if chosen.only in (None, "http2"):
            bench.http2.rows()
        if chosen.only in (None, "beside"):
            bench.beside.rows()
        bench.report()
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        sys.exit(130)
    except host.BenchError as e:
        print(f"\nbench: {e}", file=sys.stderr)
        sys.exit(1)
    finally:
        if bench:
            bench.close()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
