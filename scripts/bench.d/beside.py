# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The rows beside others: one kind of load after the other, with each way of observing it that SREs know: nothing, tillwatch,
a bpftrace script of the same job, a sniffer (httpry), nginx's log with a tailer, and one more nginx in front (a sidecar).
Who cannot do a row is not in it.
"""
import pathlib
import resource
import signal
import statistics
import subprocess
import time

import chart
import host
import http2
import observers
import table
from host import BenchError

CONNECTIONS = 64
ENDPOINTS = 30
ROUNDS = 3
MANY = min(60000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # descriptors; root may not be allowed more
OTHERS = ("bpftrace", "httpry", "log and tailer", "sidecar")
H2_SHAPE = (10, 10)  # connections, streams


def page(i):
    """16 bytes with the method before it and the space behind it, as peer.bt takes them."""
    return f"/e{i:04d}/buy"


class Nginx(host.Nginx):
    """A body of a given size; the port that logs is for the tailer."""

    def __init__(self, directory, cgroup, cpu, size, pem=None, protocol="", libraries=None):
        self.size, self.protocol = size, protocol
        super().__init__(directory, cgroup, cpu, pem, libraries)

    def config(self, directory, pem):
        if self.size <= 1000:
            answer = f'return 200 "{"x" * (self.size - 1)}\\n";'
        else:
            (directory / "body").write_bytes(b"x" * (self.size - 1) + b"\n")
            (directory / "body").chmod(0o644)
            answer = f"root {directory}; try_files /body =404; sendfile on; open_file_cache max=10;"
        text = super().config(directory, pem).replace('return 200 "ok\\n";', answer)
        return text.replace("worker_connections 4096;", f"worker_connections {MANY};").replace(
            "worker_processes 1;", f"worker_processes 1; worker_rlimit_nofile {MANY};").replace("backlog=4096", "backlog=16384")


class Process(observers.Nobody):
    """An observer that is other processes, without BPF programs of its own that could be asked for their time."""

    def begin(self, command, cpu=None, **more):
        self.processes = getattr(self, "processes", [])
        self.processes.append(host.start(command, cpu=cpu, **more))
        return self.processes[-1]

    def end(self, how=signal.SIGTERM):
        for process in self.processes:
            host.stop(process, how)
        self.processes = []

    def cpu_seconds(self):
        return sum(host.scheduled(p.pid)[0] for p in self.processes)

    def rss(self):
        total = 0
        for p in self.processes:
            total += int(pathlib.Path(f"/proc/{p.pid}/statm").read_text().split()[1]) * observers.PAGE
        return total


class Tailer(Process):
    """nginx's log as AccessLog has it, and who follows it and counts per path and status, as log agents do."""

    COUNT = '{ n[$7 " " $9]++; t[$7] += $NF } END { for (k in n) s += n[k]; print s + 0 }'

    def __init__(self, nginx):
        self.nginx = nginx

    def start(self, raw):
        self.nginx.log.write_bytes(b"")
        self.out = raw.with_suffix(".tailer.out")
        tail = self.begin(["tail", "-n", "+1", "-F", self.nginx.log], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with open(self.out, "wb") as out:
            self.begin(["awk", self.COUNT], stdin=tail.stdout, stdout=out)
        tail.stdout.close()

    def stop(self):
        tail, awk = self.processes
        size, deadline = -1, time.monotonic() + 20
        while time.monotonic() < deadline and size != host.scheduled(awk.pid)[0]:  # it reads what is there
            size = host.scheduled(awk.pid)[0]
            time.sleep(0.3)
        host.stop(tail)
        awk.wait(20)
        self.processes = []
        self.nginx.log.write_bytes(b"")
        return int(self.out.read_text() or 0)


class Httpry(Process):
    """A sniffer on the loopback: a line for each request and each answer."""

    def __init__(self, port):
        self.port = port

    def start(self, raw):
        self.out = raw.with_suffix(".httpry.lines")
        with open(raw.with_suffix(".httpry.err"), "wb") as err:
            process = self.begin(["httpry", "-F", "-i", "lo", "-f", "direction,request-uri,status-code", "-o", self.out,
                                  f"tcp port {self.port}"], stdout=err, stderr=err)
        time.sleep(0.5)
        if process.poll() is not None:
            raise BenchError(f"httpry ended: {raw.with_suffix('.httpry.err').read_text()}")

    def stop(self):
        time.sleep(0.3)  # for what lies in the capture's buffer
        self.end(signal.SIGINT)
        answers = 0
        with open(self.out, "rb") as lines:
            for line in lines:
                answers += line.startswith(b"<")
        self.out.unlink()  # a line for each request of millions
        return answers


class Sidecar(Process):
    """One more nginx on the server's processor, which the requests pass; it could log, and does not."""

    def __init__(self, directory, server, cpu):
        self.directory, self.server, self.cpu = directory, server, cpu
        directory.mkdir()
        directory.chmod(0o711)
        self.port, self.status_port = host.free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}/"
        temporary = "\n".join(f"{m}_temp_path {directory}/{m};" for m in
                              ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (directory / "nginx.conf").write_text(f"""
worker_processes 1;
worker_rlimit_nofile {MANY};
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
events {{ worker_connections {MANY}; }}
http {{
    {temporary}
    access_log off;
    keepalive_requests 1000000000;
    upstream app {{ server 127.0.0.1:{server.port}; keepalive 1024; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{self.port} backlog=16384;
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
    server {{ listen 127.0.0.1:{self.status_port}; location / {{ stub_status; }} }}
}}
""")

    def start(self, raw):
        process = self.begin(["nginx", "-p", self.directory, "-e", self.directory / "error.log", "-c",
                              self.directory / "nginx.conf"], cpu=self.cpu)
        host.wait_for_port(self.port, process, "the sidecar")
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self.worker, self.before = int(children[0]), host.served(self.status_port)

    def cpu_seconds(self):
        return host.scheduled(self.worker)[0]

    def rss(self):
        return int(pathlib.Path(f"/proc/{self.worker}/statm").read_text().split()[1]) * observers.PAGE

    def stop(self):
        counted = host.served(self.status_port) - self.before - 1
        self.end()
        return counted


class Row:
    """One kind of load. size: bytes of a body; tls, h2: how it is spoken."""

    def __init__(self, name, connections=CONNECTIONS, endpoints=ENDPOINTS, size=100, tls=False, h2=False):
        self.name, self.connections, self.endpoints, self.size, self.tls, self.h2 = name, connections, endpoints, size, tls, h2

    def who(self):
        """The others that can do it: a sniffer sees no TLS, and the scripts and the sniffer no HTTP/2."""
        if self.h2:
            return ("log and tailer",)
        if self.tls:
            return ("bpftrace", "log and tailer")
        # A sidecar has two descriptors for each connection.
        return OTHERS if 2 * self.connections + 1100 < MANY else OTHERS[:-1]


ROWS = (
    Row("1 connection", connections=1), Row("64 connections"), Row("1,000 connections", connections=1000),
    Row("10,000 connections", connections=10000), Row("1 endpoint", endpoints=1), Row("1,000 endpoints", endpoints=1000),
    Row("10 kB", size=10_000), Row("1 MB", size=1_000_000), Row("TLS", tls=True), Row("TLS, 10 kB", size=10_000, tls=True),
    Row("HTTP/2", h2=True, connections=None),
)


class Beside:
    """The rows; bench: the one that has the machine, the chosen options and the tools."""

    def __init__(self, bench, directory, tls):
        self.bench, self.directory, self.tls, self.servers = bench, directory, tls, []

    def stop(self):
        for server in self.servers:
            server.stop()

    def server(self, n, row):
        pem, libraries = (self.tls.pem, self.tls.library.parent) if row.tls else (None, None)
        server = Nginx(self.directory / f"beside{n}", self.bench.cgroups.make(f"beside{n}"), self.bench.cpus.server, row.size,
                       pem, " http2" if row.h2 else "", libraries)
        self.servers.append(server)
        server.connections = row.connections
        pages = [page(i) for i in range(row.endpoints)]
        if row.h2:
            server.load = http2.H2Load(*H2_SHAPE, pages)
        else:
            server.load = lambda cpu, url, connections, seconds, raw: host.wrk(cpu, url, connections, seconds, raw, row.endpoints)
        return server

    def contestants(self, n, row, server):
        bench = self.bench
        routes = [f"GET {page(i)}" for i in range(row.endpoints)]
        found = [("bare", observers.Nobody(), server.url),
                 ("tillwatch", bench.tools.tillwatch(server.port, server.second_port, routes=routes), server.url)]
        makes = {"bpftrace": lambda: (bench.tools.bpftrace_tls(server.pid, self.tls.library) if row.tls
                                      else bench.tools.bpftrace(server.pid), server.url),
                 "httpry": lambda: (Httpry(server.port), server.url),
                 "log and tailer": lambda: (Tailer(server), server.logging_url),
                 "sidecar": lambda: self.sidecar(n, server)}
        return found + [(name, *makes[name]()) for name in row.who() if bench.wanted(name.split()[-1])]

    def sidecar(self, n, server):
        found = Sidecar(self.directory / f"sidecar{n}", server, self.bench.cpus.server)
        return found, found.url

    def rows(self):
        chosen = self.bench.chosen
        rounds = 1 if chosen.quick else min(ROUNDS, chosen.rounds)
        for n, row in enumerate(ROWS):
            server = self.server(n, row)
            seconds = self.bench.side_seconds() + (row.connections or 0) // 3000  # to connect takes its time
            self.bench.compare(f"beside-{n}: {row.name}", server, self.contestants(n, row, server), seconds, rounds)
            self.bench.rows[-1]["beside"] = row.name
            self.servers.pop().stop()


# ---- what came of it -------------------------------------------------------------------------------------------------

def of_bare(row, name, figure):
    """The median over the rounds of a figure, as a ratio to the bare run of the same round. None: it was not measured."""
    pairs = zip(row["results"][name], row["results"][row["bare"]])
    found = [figure(a) / figure(b) for a, b in pairs if figure(a) and figure(b)]
    return statistics.median(found) if found else None


def seen(row, name):
    """Exchanges counted of those that were served. What was in flight when the load ended may be either."""
    runs = [r for r in row["results"][name] if r.get("counted") is not None and r.get("handled")]
    return min(1, sum(r["counted"] for r in runs) / sum(r["handled"] for r in runs)) if runs else None


def figures(rows, limit):
    """[(row, observer, ratio of requests/s, ratio of p99, kernel ns, agent CPU, agent MB, counted of served)]"""
    for row in (row for row in rows if row.get("beside")):
        for name in row["results"]:
            if name != row["bare"]:
                s = table.summary(row, name, limit)
                yield (row["beside"], name, of_bare(row, name, table.rate), of_bare(row, name, lambda r: r["p99"]),
                       s["kernel_ns"], s["agent_cpu"], s["agent_rss_mb"], seen(row, name))


def lines(rows, limit):
    """The rows as one small table, and where tillwatch is not ahead."""
    def show(value, form):
        return "-" if value is None else form.format(value)

    found = list(figures(rows, limit))
    cells = [("", "", "requests/s", "p99", "kernel ns", "CPU", "memory", "counted")]
    for row, name, rate, p99, kernel, cpu, memory, counted in found:
        cells.append((row, name, show(rate, "{:.3f}"), show(p99, "{:.2f}"), show(kernel, "{:.0f}"),
                      show(cpu and cpu * 100, "{:.1f} %"), show(memory, "{:.0f} MB"), show(counted and counted * 100, "{:.2f} %")))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    for line in cells if found else ():
        yield "  " + "  ".join([c.ljust(w) for c, w in zip(line[:2], widths)] +
                               [c.rjust(w) for c, w in zip(line[2:], widths[2:])]).rstrip()
    yield from behind(found)


def behind(found):
    for row, name, rate, _, _, _, _, _ in found:
        ours = next((f[2] for f in found if f[0] == row and f[1] == "tillwatch"), None)
        if name != "tillwatch" and rate and ours and rate > ours:
            yield f"  {row}: {name} has {rate:.3f} of bare, tillwatch {ours:.3f}"


def draw(rows, limit, path):
    """The table's ratios as a picture."""
    found = list(figures(rows, limit))
    if found:
        path.write_text(chart.svg([(f[0], f[1], f[2], f[3]) for f in found]))
