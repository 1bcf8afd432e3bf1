# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The rows over HTTP/2: h2load on nginx, plain and inside TLS, on few connections with many streams and the reverse; and
one long run in which nothing may be lost.
"""
import re
import statistics

import host
import observers
from host import BenchError

SHAPES = ((10, 10), (1, 100), (100, 1))  # connections, streams at once on each
PAGES = ("/product/{:02d}", "/account/{:02d}", "/cart/{:05d}", "/pictures/{:d}")
KERNEL_BAR = 1500  # ns a stream
LOST = ("lost", "lost_events", "unattributed", "desynchronised", "unnamed")
LOST_HTTP2 = ("shed", "unknown", "desynchronised", "malformed")


class H2Load:
    """One processor's h2load against one server; the same pages as load.lua asks for."""

    def __init__(self, connections, streams, pages):
        self.connections, self.streams, self.pages = connections, streams, pages

    def __call__(self, cpu, url, connections, seconds, raw):
        pages = raw.with_suffix(".h2load.pages")
        pages.write_text("".join(url.rstrip("/") + page + "\n" for page in self.pages))
        command = ["h2load", "-t1", f"-c{self.connections}", f"-m{self.streams}", f"-D{seconds}", "--warm-up-time=0",
                   "-i", pages]
        text, took = host.load(command, cpu, seconds, raw.with_suffix(".h2load.txt"))
        done = re.search(r"^requests: \d+ total, (\d+) started, (\d+) done, (\d+) succeeded", text, re.M)
        if not done or not int(done[3]):
            raise BenchError(f"h2load failed: {text.strip()[-2000:]}")
        if "h2" not in text.partition("Application protocol: ")[2][:3]:
            raise BenchError(f"h2load and nginx did not agree on HTTP/2: {text.strip()[-2000:]}")
        started, _, succeeded = map(int, done.groups())
        seconds = float(re.search(r"^finished in ([\d.]+)s", text, re.M)[1])
        # It tells no quantiles but by a line for each of a million requests.
        return {"requests": succeeded, "sent": started, "seconds": seconds, "p50": None, "p99": None,
                "errors": int(done[2]) - succeeded, **took}


class Nginx(host.Nginx):
    protocol = " http2"


def losses(document):
    """What the document of a run says was lost or could not be told, by name; only what is not 0."""
    coverage, ledger = document["coverage"], document["ledger"]
    found = {key: coverage.get(key) or 0 for key in LOST}
    found.update({f"HTTP/2 {key}": coverage["http2"][key] for key in LOST_HTTP2})
    found["lost"] = max(found["lost"], ledger.get("lost_exchanges") or 0)
    return {key: n for key, n in found.items() if n}


class Http2:
    """The rows over HTTP/2; bench: the one that has the machine, the chosen options and the tools."""

    def __init__(self, bench, directory, pem):
        self.bench, self.long = bench, None
        self.plain = Nginx(directory / "h2", bench.cgroups.make("h2"), bench.cpus.server)
        self.tls = Nginx(directory / "h2-tls", bench.cgroups.make("h2-tls"), bench.cpus.server, pem)
        self.pages = [PAGES[i % len(PAGES)].format(i % 10) for i in range(200)]

    def stop(self):
        for server in (self.plain, self.tls):
            server.stop()

    def contestants(self, server):
        found = [("bare", observers.Nobody(), server.url)]
        if self.bench.wanted("tillwatch"):
            found.append(("tillwatch", self.bench.tools.tillwatch(server.port, server.second_port), server.url))
        return found

    def rows(self):
        bench = self.bench
        rounds = max(min(2, bench.chosen.rounds), bench.chosen.rounds // 2)
        for name, server in (("h2", self.plain), ("h2-tls", self.tls)):
            for shape in SHAPES if bench.wanted(name) else ():
                server.load = H2Load(*shape, self.pages)
                bench.compare(f"{name}-{shape[0]}x{shape[1]}: nginx, connections x streams", server,
                              self.contestants(server), bench.side_seconds(), rounds)
                bench.rows[-1].update(http2=True, shape=shape)
        if bench.wanted("tillwatch") and bench.wanted("h2-long"):
            self.sustain()

    def sustain(self):
        """The shape of which most was seen, for a minute."""
        rows = [row for row in self.bench.rows if row.get("http2") and not row["title"].startswith("h2-tls")]
        best = max(rows, key=lambda row: max(r["requests"] / r["seconds"] for r in row["results"]["tillwatch"]), default=None)
        shape = best["shape"] if best else SHAPES[0]
        self.plain.load = H2Load(*shape, self.pages)
        seconds = 5 if self.bench.chosen.quick else 60
        observer = self.bench.tools.tillwatch(self.plain.port, self.plain.second_port)
        result = self.bench.run_once(f"h2-long-{shape[0]}x{shape[1]}", observer, self.plain, self.plain.url, seconds)
        self.long = {"shape": shape, **result}


def missing(run):
    """
    Streams that were served and not counted, or counted and not sent. Counted may be more than served: a request that was
    on its way when h2load closed the connection came to the socket, and nginx never read it.
    """
    return max(0, run["handled"] - run["counted"]) + max(0, run["counted"] - run["sent"])


def counting(runs, lost):
    def total(key):
        return sum(run[key] for run in runs)

    text = ", ".join(f"{n} {key}" for key, n in lost.items())
    return (f"sent {total('sent'):,}, served {total('handled'):,}, counted {total('counted'):,}; "
            f"lost: {sum(map(missing, runs))}{', ' if text else ''}{text}")


def streams(rows, long):
    """Lines: what a stream costs, and whether each was counted."""
    for row in rows:
        runs = row["results"].get("tillwatch") if row.get("http2") else None
        if not runs:
            continue
        agent = statistics.median(r["agent_seconds"] / r["handled"] * 1e4 for r in runs)
        kernel = row["kernel"].get("tillwatch", {}).get("kernel_ns")
        kernel = "not measured" if kernel is None else f"{kernel:.0f} ns"
        lost = {}
        for r in runs:
            for key, n in r["losses"].items():
                lost[key] = lost.get(key, 0) + n
        yield (f"  {row['title'].split()[0].rstrip(':')}: kernel {kernel} a stream, agent {agent:.3f} s of CPU time for 10,000 "
               f"streams; {counting(runs, lost)}")
    if long:
        yield (f"  {long['seconds']:.0f} s at {long['requests'] / long['seconds']:,.0f} streams/s "
               f"({long['shape'][0]}x{long['shape'][1]}), agent {long['agent_cpu']:.1%} of a core: {counting([long], long['losses'])}")


def bars(rows, long):
    """One line a bar, as of table.bars()."""
    def line(met, what, text):
        return f"  {'met' if met else 'MISSED':<7}  {what}: {text}"

    for row in rows:
        run = row["kernel"].get("tillwatch", {}) if row.get("http2") else {}
        kernel = run.get("kernel_ns")
        if kernel is not None and not run["counted"]:
            yield f"  void     {row['title'].split(':')[0]}: nothing was counted in the run that measures kernel time"
        elif kernel is not None:
            yield line(kernel <= KERNEL_BAR, f"kernel ns a stream, net of an empty program, {row['title'].split(':')[0]}",
                       f"{kernel:.4g} (bar: at most {KERNEL_BAR})")
    if long:
        yield line(not missing(long) and not long["losses"], f"streams lost in {long['seconds']:.0f} s at the highest rate",
                   f"{missing(long)} (bar: 0)")
