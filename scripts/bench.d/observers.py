# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who watches: nobody, tillwatch, a bpftrace script, nginx's own log. One interface:

start(raw)      attaches; returns when it sees traffic. raw is the stem of its files of raw output.
stop()          detaches; returns how many exchanges it counted, or None.
cpu_seconds(), rss()   of the observer's own process.
kernel_time(n)  kernel time per request of its programs, if measure_kernel (an EmptyProgram) is set.
load_side(n)    of that, what the load generator's own reads took; after n requests to a server nobody watches.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import host
from host import BenchError

PAGE = os.sysconf("SC_PAGE_SIZE")
ROUTES = ("GET /product/{id}", "GET /account/{id}", "GET /cart/{id}", "GET /pictures/{id}")
MOST_ROUTES = 500  # that tillwatch tells apart; the rest of them are counted under "other"


def programs():
    """Every BPF program of this host: id -> what bpftool says."""
    return {p["id"]: p for p in json.loads(host.run(["bpftool", "prog", "show", "-j"]))}


def held_programs(pid):
    """Ids of the BPF programs a process holds a descriptor of; those of others on this host are not ours to count."""
    held = set()
    for path in pathlib.Path(f"/proc/{pid}/fdinfo").glob("*"):
        with contextlib.suppress(OSError):
            held.update(map(int, re.findall(r"^prog_id:\s*(\d+)$", path.read_text(), re.M)))
    return held


class Nobody:
    has_programs = False
    document = None
    process = None
    measure_kernel = None

    def start(self, raw):
        pass

    def stop(self):
        return None

    def cpu_seconds(self):
        return host.scheduled(self.process.pid)[0] if self.process else 0.0

    def rss(self):
        if not self.process:
            return None
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE

    def kernel_time(self, requests):
        return {}

    def load_side(self, requests):
        return {}


class AccessLog(Nobody):
    """nginx writes a line a request, unbuffered, as Debian configures it, with $request_time added."""

    def __init__(self, nginx):
        self.nginx = nginx

    def start(self, raw):
        os.truncate(self.nginx.log, 0)

    def stop(self):
        lines = 0
        with open(self.nginx.log, "rb") as f:
            while True:
                block = f.read(1 << 20)
                if not block:
                    break
                lines += block.count(b"\n")
        os.truncate(self.nginx.log, 0)
        return lines


def spent(program, before, after):
    """Nanoseconds and runs of one program between two answers of programs()."""
    a, b = after[program], before[program]
    return tuple(a.get(key, 0) - b.get(key, 0) for key in ("run_time_ns", "run_cnt"))


class Agent(Nobody):
    """An observer that is a process with BPF programs."""

    has_programs = True
    command = ()
    environment = None  # None: ours
    name = ""
    says = None  # on its standard error, when it has begun
    reads = None  # its program that runs for every read of this host, also for the load generator's

    def start(self, raw):
        self.raw = raw
        self.empty = self.measure_kernel
        with open(raw.with_suffix(f".{self.name}.out"), "wb") as out, \
                open(raw.with_suffix(f".{self.name}.err"), "wb") as err:
            self.process = host.start(self.command, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                      env=self.environment)
        self.mine = self.wait_until_attached()
        self.kernel_ns = None
        if self.empty:
            self.empty.attach()
            self.before = programs()

    def says_so(self):
        return self.says is None or self.says in self.raw.with_suffix(f".{self.name}.err").read_text(errors="replace")

    def wait_until_attached(self):
        """Until it says so, if it does, and the programs it has loaded have been the same for a second. Returns their ids."""
        deadline, stable_since, seen = time.monotonic() + 30, time.monotonic(), set()
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended: {self.last_words()}")
            now = held_programs(self.process.pid)
            if now != seen:
                seen, stable_since = now, time.monotonic()
            elif seen and self.says_so() and time.monotonic() - stable_since > 1:
                return seen
            time.sleep(0.1)
        host.stop(self.process)
        raise BenchError(f"{self.name} attached no program within 30 s: {self.last_words()}")

    def last_words(self):
        return self.raw.with_suffix(f".{self.name}.err").read_text(errors="replace").strip()[-2000:] or "(no message)"

    def kernel_time(self, requests):
        """Nanoseconds in its programs per request, less what an empty program shows in the same run."""
        if not self.empty:
            return {}
        after = programs()
        self.keep_raw("programs", {"before": self.before, "after": after, "mine": sorted(self.mine)})
        empty_time, empty_runs = spent(self.empty.id, self.before, after)
        mine = {i: spent(i, self.before, after) for i in self.mine if i in after and i in self.before}
        self.before, self.kernel_ns = after, None
        gross, runs = (sum(v[k] for v in mine.values()) for k in (0, 1))
        if not empty_runs or not runs or not requests:
            return {}  # programs that never ran have measured nothing, which is not 0
        per_run = empty_time / empty_runs
        self.kernel_ns = (gross - per_run * runs) / requests
        return {"kernel_ns_gross": gross / requests, "kernel_runs": runs / requests, "empty_ns": per_run,
                "kernel_ns": self.kernel_ns,
                "kernel_ns_by_program": {f"{after[i]['name']}#{i}": [t / requests, n / requests]
                                         for i, (t, n) in sorted(mine.items())}}

    def load_side(self, requests):
        """
        Since kernel_time() nothing but a server that nobody watches has been asked, n times: both it and the load
        generator read once a request, and what one of these runs takes, net, the load generator's took before, too.
        """
        if not self.empty or not requests or self.kernel_ns is None:
            return {}
        after = programs()
        self.keep_raw("load-side.programs", {"before": self.before, "after": after})
        empty_time, empty_runs = spent(self.empty.id, self.before, after)
        mine = [spent(i, self.before, after) for i in self.mine
                if i in after and i in self.before and after[i]["name"] == self.reads]
        time_, runs = (sum(v[k] for v in mine) for k in (0, 1))
        if not empty_runs:
            return {}
        per_run = time_ / runs - empty_time / empty_runs if runs else 0
        own_reads = runs / requests / 2
        return {"unwatched_run_ns": per_run, "load_reads": own_reads, "kernel_ns_load_side": own_reads * per_run,
                "kernel_ns_watched_side": self.kernel_ns - own_reads * per_run}

    def keep_raw(self, what, data):
        self.raw.with_suffix(f".{what}.json").write_text(json.dumps(data, indent=1))

    def finish(self):
        if self.empty:
            self.empty.detach()
            self.empty = None
        host.stop(self.process, signal.SIGINT, 15)
        text = self.raw.with_suffix(f".{self.name}.out").read_text(errors="replace")
        self.process = None
        return text


class Tillwatch(Agent):
    name = "tillwatch"
    says = "tillwatch: watching "
    reads = "tw_read"
    document = None  # of the run that has ended

    def __init__(self, root, config, watches, placement):
        self.command = [root / "tillwatch", "watch", "-c", config, "--for", "1h", "--json"]
        self.environment = host.environment(TILLWATCH_TLS_PLACEMENT=placement)
        self.watches = watches

    def stop(self):
        text = self.finish()
        try:
            document = json.loads(text)
        except ValueError as e:
            raise BenchError(f"tillwatch watch --json gave no document: {e}; {self.last_words()}") from e
        self.document = document
        if not self.watches:
            return None
        return sum(arm["requests"] for endpoint in document["endpoints"] for arm in endpoint["arms"].values() if arm)


class Bpftrace(Agent):
    """script: peer.bt or peer_tls.bt; counts: the map whose entries count exchanges."""

    name = "bpftrace"

    def __init__(self, script, counts, *arguments):
        self.counts = counts
        # bpftrace wants the trace file system; where it is not mounted it gets one of its own.
        shell = ("mountpoint -q /sys/kernel/tracing || mountpoint -q /sys/kernel/debug/tracing || "
                 "mount -t tracefs tracefs /sys/kernel/tracing && exec bpftrace \"$@\"")
        self.command = ["unshare", "-m", "--propagation", "private", "sh", "-c", shell, "sh",
                        script, *arguments]

    def stop(self):
        return sum(int(n) for n in re.findall(rf"^@{self.counts}\[.*\]: (\d+)$", self.finish(), re.M))


class EmptyProgram:
    """empty.bpf.c on cgroups, beside the programs that are measured there."""

    def __init__(self, cgroups, program):
        self.cgroups, self.program, self.id = list(dict.fromkeys(cgroups)), program, None

    def attach(self):
        # Loading through bpftool needs a pin, and the pin a bpf file system; the cgroup then holds the program.
        before = set(programs())
        pin = f"/sys/fs/bpf/tillwatch-bench-{os.getpid()}"
        attach = "\n".join(f"bpftool cgroup attach {cgroup} {way} pinned {pin} multi"
                           for cgroup in self.cgroups for way in ("ingress", "egress"))
        host.run(["unshare", "-m", "--propagation", "private", "sh", "-ec", f"""
            mount -t bpf bpf /sys/fs/bpf
            bpftool prog load {self.program} {pin} type cgroup/skb
            {attach}"""])
        new = [i for i, p in programs().items() if i not in before and p.get("name") == "empty"]
        if not new:
            raise BenchError("the empty program is not there after loading it")
        self.id = max(new)

    def detach(self):
        if self.id is not None:
            for cgroup in self.cgroups:
                for way in ("ingress", "egress"):
                    host.run(["bpftool", "cgroup", "detach", cgroup, way, "id", self.id])
        self.id = None


class Tools:
    """Makes the observers; knows where their files are."""

    def __init__(self, root, directory, out):
        self.root, self.directory, self.out = root, directory, out
        self.empty = directory / "empty.bpf.o"
        host.run(["clang", "-O2", "-target", "bpf", "-c", host.HERE / "empty.bpf.c", "-o", self.empty])

    def empty_program(self, *cgroups):
        return EmptyProgram(cgroups, self.empty)

    def tillwatch(self, port, second_port, watches=True, placement="", routes=ROUTES):
        config = self.out / f"config-{port}.yaml"
        routes = routes[:MOST_ROUTES]
        config.write_text(f"""service: bench
versions:
  v1: {{ arm: baseline, match: {{ listen: "127.0.0.1:{port}" }} }}
  v2: {{ arm: canary, match: {{ listen: "127.0.0.1:{second_port}" }} }}
endpoints:
  - {{ route: "{routes[0]}", critical: true }}
""" + "".join(f'  - {{ route: "{route}" }}\n' for route in routes[1:]))
        return Tillwatch(self.root, config, watches, placement)

    def bpftrace(self, pid):
        return Bpftrace(host.HERE / "peer.bt", "answers", pid)

    def bpftrace_tls(self, pid, library):
        script = self.out / "peer_tls.bt"
        script.write_text((host.HERE / "peer_tls.bt").read_text().replace("LIBRARY", str(library)))
        return Bpftrace(script, "requests", "-p", pid)
