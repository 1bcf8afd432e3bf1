# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The machine under the bench: processes, processors, cgroups, servers, load, the kernel's statistics switch.

Every process is started here and ended by its pid; it ends with the bench at the latest.
"""
import contextlib
import json
import os
import pathlib
import platform
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent


class BenchError(Exception):
    """Something the bench cannot go on without; the text says what and what to try."""


def start(command, cgroup=None, cpu=None, **keywords):
    """Starts a process, in a cgroup and on a processor if given."""
    def place():
        if cgroup:
            (cgroup / "cgroup.procs").write_text("0")
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
    return subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *map(str, command)], preexec_fn=place, **keywords)


def stop(process, how=signal.SIGTERM, patience=5):
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(command, **keywords):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **keywords)
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def environment(libraries=None, **more):
    """Ours, with a folder the loader looks into first, and more."""
    return {**os.environ, **({"LD_LIBRARY_PATH": str(libraries)} if libraries else {}), **more}


def free_ports(n):
    """Ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for_port(port, process, what):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise BenchError(f"{what} does not listen on port {port}")


def served(status_port):
    """Requests that an nginx has begun to serve, this one included."""
    with urllib.request.urlopen(f"http://127.0.0.1:{status_port}/", timeout=5) as page:
        return int(page.read().decode().split("\n")[2].split()[2])


def scheduled(pid):
    """Seconds a process has run, and seconds it was ready to run and another one had the processor."""
    ran = waited = 0
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().split()
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran / 1e9, waited / 1e9


class Cpus:
    """The server gets one processor and the load another, as far as there are two."""

    def __init__(self):
        allowed = sorted(os.sched_getaffinity(0))
        self.count = len(allowed)
        self.server, self.load = (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)

    def describe(self):
        model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        placing = f"server on {self.server}, load on {self.load}" if self.count > 1 else "server and load share one"
        name = model[1] if model else platform.machine()
        return f"{name}, {self.count} processors ({placing}), Linux {platform.release()}"


class Cgroups:
    def __init__(self):
        mounts = [line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        found = [m[4] for m in mounts if m[m.index("-") + 1] == "cgroup2"]
        if not found:
            raise BenchError("cgroup2 is not mounted; try: mount -t cgroup2 cgroup2 /mnt")
        self.top = pathlib.Path(found[0]) / f"tillwatch-bench.{os.getpid()}"
        self.top.mkdir()
        self.made = [self.top]

    def make(self, name):
        path = self.top / name
        path.mkdir()
        self.made.append(path)
        return path

    def remove(self):
        for path in reversed(self.made):
            for _ in range(50):
                with contextlib.suppress(OSError):
                    path.rmdir()
                    break
                time.sleep(0.1)


class Nginx:
    """
    One worker that answers everything with `return 200`; a second port logs, a third tells how much was served.
    pem: over TLS (but for the third), with that key and certificate. libraries: a folder the loader looks into first.
    """

    connections = None  # of wrk; None: as the bench's options say
    load = None  # what loads it, called as wrk() is; None: wrk()
    protocol = ""

    def __init__(self, directory, cgroup, cpu, pem=None, libraries=None):
        directory.mkdir()
        directory.chmod(0o711)
        self.cgroup, self.log = cgroup, directory / "access.log"
        self.port, self.second_port, self.logging_port, self.status_port = free_ports(4)
        (directory / "nginx.conf").write_text(self.config(directory, pem))
        command = ["nginx", "-p", directory, "-e", directory / "error.log", "-c", directory / "nginx.conf"]
        self.process = start(command, cgroup, cpu, env=environment(libraries))
        wait_for_port(self.port, self.process, "nginx")
        self.pid = self.worker()
        scheme = "https" if pem else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}/"
        self.logging_url = f"{scheme}://127.0.0.1:{self.logging_port}/"

    def config(self, directory, pem):
        ssl = (" ssl" if pem else "") + self.protocol
        certificate = f"ssl_certificate {pem}; ssl_certificate_key {pem};" if pem else ""
        temporary = "\n".join(f"{m}_temp_path {directory}/{m};" for m in
                              ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    {temporary}
    access_log off;
    keepalive_requests 1000000000;
    {certificate}
    log_format job '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                   '"$http_referer" "$http_user_agent" $request_time';
    server {{
        listen 127.0.0.1:{self.port}{ssl} backlog=4096;
        listen 127.0.0.1:{self.second_port}{ssl};
        location / {{ return 200 "ok\\n"; }}
    }}
    server {{
        listen 127.0.0.1:{self.logging_port}{ssl} backlog=4096;
        access_log {self.log} job;
        location / {{ return 200 "ok\\n"; }}
    }}
    server {{
        listen 127.0.0.1:{self.status_port};
        location / {{ stub_status; }}
    }}
}}
"""

    def worker(self):
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0])

    def handled(self):
        return served(self.status_port)

    def handled_since(self, before):
        return self.handled() - before - 1

    def stop(self):
        stop(self.process)


class Work100:
    """work100.c: a known amount of work on each request. It keeps no count. pem, libraries: as of Nginx."""

    connections = load = None

    def __init__(self, directory, cgroup, cpu, pem=None, libraries=None):
        program = directory / "work100"
        if not program.exists():
            run(["gcc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-o", program, HERE / "work100.c", "-lssl"])
        self.cgroup, (self.port,) = cgroup, free_ports(1)
        self.process = start([program, self.port, 100] + ([pem] if pem else []), cgroup, cpu,
                             stdout=subprocess.DEVNULL, env=environment(libraries))
        wait_for_port(self.port, self.process, "work100")
        self.pid = self.process.pid
        self.url = f"{'https' if pem else 'http'}://127.0.0.1:{self.port}/"

    def handled(self):
        return None

    def handled_since(self, before):
        return None

    def stop(self):
        stop(self.process)


def load(command, cpu, seconds, file):
    """Runs a load generator on a processor; returns its text, which stays in the file, and what it took of processors."""
    before, began, waited = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0.0
    with open(file, "w+", encoding="utf-8") as out:
        process = start(command, cpu=cpu, stdout=out, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None and time.monotonic() - began < seconds + 30:
                waited = max(waited, scheduled(process.pid)[1])
                time.sleep(0.1)
        finally:
            stop(process)
        out.seek(0)
        text = out.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, {"load_cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "load_waited": waited}


def wrk(cpu, url, connections, seconds, raw, endpoints=None):
    """
    Saturates the server from a processor; returns requests, seconds, p50, p99, errors, and the processor time wrk itself
    took. endpoints: so many pages of the rows beside others (beside.py), instead of the usual ones.
    """
    command = ["prlimit", f"--nofile={connections + 1000}", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s",
               str(HERE / "load.lua"), url] + (["--", endpoints] if endpoints else [])
    text, took = load(command, cpu, seconds, raw.with_suffix(".wrk.txt"))
    found = re.search(r"^RESULT (.*)$", text, re.M)
    if not found:
        raise BenchError(f"wrk failed: {text.strip()}")
    return {**json.loads(found[1]), **took}


@contextlib.contextmanager
def bpf_statistics():
    """Run-time statistics of BPF programs are on inside, and as they were before outside."""
    switch = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    switch.write_text("1")
    try:
        yield
    finally:
        switch.write_text(before)
