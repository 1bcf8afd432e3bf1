# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Servers that replace themselves under load: what the switch cut is what the clients lost, and the process that cut it is
named. Oracle: the clients' own record (tw/keepalive.py), the servers' logs and pid files.
"""
import collections
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from tw import net, servers
from tw.keepalive import Held, Load, Record
from tw.oracle import counts
from tw.proc import Child, children
from tw.wait import until

BY_SERVER = ("unanswered", "truncated", "reset_by_server")


def exists(pid):
    """Alive: a process that has ended may wait for its parent to ask for it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_end(*pids):
    until(lambda: not any(exists(p) for p in pids), f"{pids} to end", 20)


def build_id(program):
    notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
    return notes.split("Build ID: ")[1].split()[0]


def reported(d, arm="baseline"):
    """outcome -> exchanges cut by the server, from the endpoints' counts."""
    return {k: n for k, n in d.outcomes(arm).items() if k != "answered"}


def cuts(d):
    """(pid, outcome) -> exchanges, from the document's list of cuts."""
    out = collections.Counter()
    for cut in d["cuts"]:
        assert cut["first"] <= cut["last"]
        out[cut["pid"], cut["outcome"]] += cut["count"]
    assert d["cuts_other"] == 0 and d["cuts_lost"] == 0
    return dict(out)


def cuts_of(d, pid):
    return [c for c in d["cuts"] if c["pid"] == pid]


def lost(*records):
    """What the clients lost, in the tool's words."""
    words = {"unanswered": "unanswered", "truncated": "truncated", "reset": "reset_by_server"}
    out = collections.Counter()
    for record in records:
        for what, n in record.cuts().items():
            out[words[what]] += n
    return dict(out)


def assert_cuts(d, pids, *records):
    """
    Every request that the clients lost was cut by one of these processes, with the outcome that the clients saw. A
    request that came late may have met what was left of the server's socket, and counts as unanswered then, or nothing.
    """
    want, got = lost(*records), collections.Counter()
    for (pid, outcome), n in cuts(d).items():
        assert pid in pids, f"{outcome} by {pid}, not one of {pids}: {d['cuts']}"
        got[outcome] += n
    late = sum(r.late() for r in records)
    surplus = sum(got.values()) - sum(want.values())
    assert 0 <= surplus <= late, f"reported {dict(got)}, the clients lost {want} and {late} came late"
    got["unanswered"] -= surplus
    assert dict(+got) == want, f"reported {dict(got)}, the clients lost {want}"
    all_arms = collections.Counter()
    for arm in ("baseline", "canary"):
        all_arms.update(reported(d, arm))
    assert all_arms.total() == sum(want.values()) + surplus


def assert_clean(d, *records):
    assert lost(*records) == {} and not any(r.refused for r in records)
    assert d["cuts"] == [] or sum(c["count"] for c in d["cuts"]) <= sum(r.late() for r in records), d["cuts"]


class Hold:
    """A backend that holds /hold until it is released, and /half after its head and some of its body."""

    def __init__(self, started):
        self.free = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.server = started(servers.RawServer(self._handle))
        self.port = self.server.port

    def _handle(self, c):
        while got := c.request():
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
            if got[1] == "/half":
                c.send(head + bytes(10))
                self.waiting.release()
                self.free.wait(30)
                c.send(bytes(90))
                continue
            self.waiting.release()
            self.free.wait(30)
            c.send(head + bytes(100))

    def hold(self, port, *targets):
        """Puts these requests in flight; returns their threads and their record."""
        record = Record()
        held = [Held(port, t, record) for t in targets]
        for _ in targets:
            assert self.waiting.acquire(timeout=10)
        return held, record


def join(held):
    for h in held:
        h.join(20)
        assert not h.is_alive(), f"{h.target} has neither been answered nor cut"


# --- nginx -----------------------------------------------------------------------------------------------------------

NGINX = """
worker_processes 1;
user root;
pid {dir}/nginx.pid;
error_log {dir}/error.log notice;
{main}
events {{ worker_connections 512; }}
http {{
    log_format tw '$pid $request_method $request_uri $status';
    access_log {dir}/access.log tw;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "ok\\n"; }}
        location /h {{ proxy_pass http://127.0.0.1:{backend}; proxy_buffering off; }}
    }}
}}
"""


class Nginx:
    """In the background, as its own binary upgrade needs it; a copy of the program that can be exchanged."""

    def __init__(self, tmp, backend, main=""):
        self.dir = tmp / "nginx"
        self.dir.mkdir()
        self.port = net.free_port()
        self.program = self.dir / "nginx-program"
        shutil.copy(shutil.which("nginx"), self.program)
        self.build_id = build_id(self.program)
        self.exchange_program()  # no other nginx of this host has its build id
        conf = self.dir / "nginx.conf"
        conf.write_text(NGINX.format(dir=self.dir, port=self.port, backend=backend, main=main))
        self.child = Child([sys.executable, os.path.join(servers.SERVERS, "adopt.py"), self.program, "-p", self.dir,
                            "-e", self.dir / "error.log", "-c", conf], self.dir / "out.log")
        net.await_listener(self.port, alive=self.child.alive)
        self.master = until(self.pid, "the pid file")
        self.workers = until(lambda: children(self.master), "a worker")

    def pid(self, which="nginx.pid"):
        try:
            return int((self.dir / which).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def stop(self):
        self.child.stop()

    def exchange_program(self):
        """Puts a build of another id in the program's place; returns the id before and the one since."""
        other = self.dir / "nginx-other"
        data = self.program.read_bytes()
        old, new = bytes.fromhex(self.build_id), os.urandom(len(self.build_id) // 2)
        assert data.count(old) == 1
        other.write_bytes(data.replace(old, new))
        other.chmod(0o755)
        os.rename(other, self.program)
        self.build_id = build_id(self.program)
        return old.hex(), self.build_id

    def upgrade(self):
        """USR2; returns the new master and its workers, the old ones still serving."""
        os.kill(self.master, signal.SIGUSR2)
        new = until(lambda: self.pid("nginx.pid.oldbin") == self.master and self.pid() != self.master and self.pid(),
                    lambda: f"the new master: {(self.dir / 'error.log').read_text()}", 20)
        return new, until(lambda: children(new), "a worker of the new master")

    def reload(self):
        os.kill(self.master, signal.SIGHUP)
        return until(lambda: [c for c in children(self.master) if c not in self.workers], "a new worker", 20)

    def log(self):
        for line in (self.dir / "access.log").read_text().split("\n")[:-1]:
            pid, method, target, status = line.split(" ")
            yield int(pid), (method, target, int(status))


@pytest.fixture
def hold(started):
    backend = Hold(started)
    yield backend
    backend.free.set()


@pytest.fixture
def upgradable(tmp_path, started, hold):
    def start(**options):
        if not shutil.which("nginx"):
            pytest.skip("nginx is not installed")
        return started(Nginx(tmp_path, hold.port, **options))

    return start


def test_a_binary_upgrade_of_nginx_that_drains_cuts_nothing_and_each_build_keeps_its_version(upgradable, hold, watching):
    nginx = upgradable()
    before = len(list(nginx.log()))
    old, new = nginx.exchange_program()
    w = watching(versions={"v1": ("baseline", {"build_id": old}), "v2": ("canary", {"build_id": new})},
                 serving=[nginx.port])
    load = Load(nginx.port)
    held, record = hold.hold(nginx.port, "/hold", "/half")
    load.more()
    _, workers = nginx.upgrade()
    load.more()
    with load.between_requests():
        os.kill(nginx.master, signal.SIGWINCH)
    load.more()
    hold.free.set()
    join(held)
    await_end(*nginx.workers)
    os.kill(nginx.master, signal.SIGQUIT)
    await_end(nginx.master)
    load.more()
    total = load.stop()
    d = w.stop()
    assert_clean(d, total, record)
    served = list(nginx.log())[before:]
    assert counts(x for pid, x in served if pid in nginx.workers) == d.counts("baseline")
    assert counts(x for pid, x in served if pid in workers) == d.counts("canary")
    assert d.requests() == total.answered.total() + record.answered.total() == len(served)


def test_what_an_old_nginx_cuts_when_it_is_ended_before_it_has_drained_is_its_doing(upgradable, hold, watching):
    nginx = upgradable()
    old, new = nginx.exchange_program()
    w = watching(versions={"v1": ("baseline", {"exe": str(nginx.program)})}, serving=[nginx.port])
    load = Load(nginx.port)
    held, record = hold.hold(nginx.port, "/hold", "/half", "/hold", "/hold")
    load.more()
    nginx.upgrade()
    load.more()
    os.kill(nginx.master, signal.SIGTERM)
    join(held)
    await_end(nginx.master, *nginx.workers)
    load.more()
    total = load.stop()
    hold.free.set()
    d = w.stop()
    assert record.cuts() == {"unanswered": 3, "truncated": 1}
    assert_cuts(d, nginx.workers, record, total)
    for cut in d["cuts"]:
        assert (cut["build_id"], cut["exe"], cut["version"], cut["cause"]) == (old, str(nginx.program), "v1", "reader")
    assert new != old
    assert sum(d.counts().values()) == total.answered.total() + 1  # the truncated one had its status


def test_a_version_given_by_pid_outlives_the_master_that_had_it(upgradable, watching):
    """The new master's parent is the old one, until that is gone."""
    nginx = upgradable()
    w = watching(versions={"v1": ("baseline", {"pid": nginx.master})}, serving=[nginx.port])
    load = Load(nginx.port)
    load.more()
    master, _ = nginx.upgrade()
    load.more()
    with load.between_requests():
        os.kill(nginx.master, signal.SIGQUIT)
    await_end(nginx.master, *nginx.workers)
    load.more()
    # A program that is started lets the tool look at the host again, within a second.
    subprocess.run(["true"], check=True)
    load.more(1000)
    with load.between_requests():
        os.kill(master, signal.SIGHUP)
    load.more()
    total = load.stop()
    d = w.stop()
    assert_clean(d, total)
    assert d.requests("baseline") == total.answered.total()


def test_what_a_reload_of_nginx_cuts_under_load_is_what_the_clients_lost(upgradable, hold, watching):
    """A worker that drains closes idle connections without a look whether a request has just come: a few are lost."""
    nginx = upgradable()
    w = watching(nginx.port)
    load = Load(nginx.port)
    held, record = hold.hold(nginx.port, "/hold", "/half")
    for _ in range(3):
        load.more()
        nginx.workers += nginx.reload()
    load.more()
    hold.free.set()
    join(held)
    await_end(*nginx.workers[:-1])
    total = load.stop()
    d = w.stop()
    assert record.cuts() == {} and total.refused == 0
    assert_cuts(d, nginx.workers, total)
    assert sum(d.counts().values()) == total.answered.total() + record.answered.total()


def test_a_reload_whose_old_worker_runs_out_of_time_cuts_what_it_still_holds(upgradable, hold, watching):
    """The worker was started by a reload as well: its birth is all that the tool has seen of it when it has gone."""
    nginx = upgradable(main="worker_shutdown_timeout 1s;")
    w = watching(nginx.port)
    load = Load(nginx.port)
    load.more()
    second = nginx.reload()
    await_end(*nginx.workers)
    held, record = hold.hold(nginx.port, "/hold", "/half", "/half")
    nginx.workers += second
    nginx.reload()
    join(held)
    await_end(*second)
    load.more()
    total = load.stop()
    hold.free.set()
    d = w.stop()
    assert record.cuts() == {"unanswered": 1, "truncated": 2}
    # The first worker goes in the first reload, and may cut a request of the load in that.
    assert_cuts(d, nginx.workers, record, total)
    for cut in cuts_of(d, second[0]):
        assert cut["build_id"] == nginx.build_id and cut["exe"] == str(nginx.program) and cut["started"]
    # nginx may cut a request of the load as well, when it closes idle connections: those are in the record of the load.
    held_ones = collections.Counter()
    for cut in cuts_of(d, second[0]):
        if cut["endpoint"] != "GET /ok":
            held_ones[cut["endpoint"], cut["outcome"]] += cut["count"]
    assert held_ones == {("GET /hold", "unanswered"): 1, ("GET /half", "truncated"): 2}


# --- haproxy ---------------------------------------------------------------------------------------------------------

HAPROXY = """
global
    stats socket {dir}/socket mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string "ok" if {{ path /ok }}
    default_backend shop
backend shop
    server one 127.0.0.1:{backend}
"""


@pytest.fixture
def haproxy(tmp_path, started, hold):
    """haproxy(run, …) starts one with SHOP_RUN in its environment; all serve the same port."""
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    conf = tmp_path / "haproxy.cfg"
    port = net.free_port()
    conf.write_text(HAPROXY.format(dir=tmp_path, port=port, backend=hold.port))

    def start(run, *options):
        return started(servers.Server(["haproxy", "-db", "-f", conf, *options], tmp_path / f"haproxy{run}.log", port,
                                      env={"SHOP_RUN": run}))

    start.socket = tmp_path / "socket"
    return start


RUNS = {"v1": ("baseline", {"env": "SHOP_RUN=1"}), "v2": ("canary", {"env": "SHOP_RUN=2"})}


def test_a_haproxy_that_passes_its_sockets_on_and_drains_cuts_nothing(haproxy, hold, watching):
    old = haproxy("1")
    w = watching(versions=RUNS, serving=[old.port])
    load = Load(old.port)
    held, record = hold.hold(old.port, "/hold", "/hold")
    load.more()
    with load.between_requests():
        haproxy("2", "-x", haproxy.socket, "-sf", old.pid)
    load.more()
    hold.free.set()
    join(held)
    until(lambda: not old.child.alive(), "the old haproxy to end", 20)
    load.more()
    total = load.stop()
    d = w.stop()
    assert_clean(d, total, record)
    assert d.outcomes("canary").keys() == {"answered"}
    assert d.counts("baseline")["GET /hold", 200] == 2 and ("GET /hold", 200) not in d.counts("canary")
    assert d.requests() == total.answered.total() + 2


def test_what_a_haproxy_cuts_that_is_told_to_end_at_once_is_its_doing(haproxy, hold, watching):
    old = haproxy("1")
    w = watching(versions=RUNS, serving=[old.port])
    load = Load(old.port)
    held, record = hold.hold(old.port, "/hold", "/hold", "/hold")
    load.more()
    haproxy("2", "-x", haproxy.socket, "-st", old.pid)
    join(held)
    load.more()
    total = load.stop()
    hold.free.set()
    d = w.stop()
    assert sum(record.cuts().values()) == 3
    assert_cuts(d, [old.pid], record, total)
    assert {(c["version"], c["arm"]) for c in d["cuts"]} == {("v1", "baseline")}
    assert d["cuts"][0]["build_id"] == build_id(shutil.which("haproxy"))


# --- a listening socket that stays -----------------------------------------------------------------------------------

class Restarting(servers.Logged):
    def __init__(self, tmp):
        super().__init__([sys.executable, os.path.join(servers.SERVERS, "restart.py"), "--port", (port := net.free_port())],
                         tmp, "restart", port)
        self.await_run(1)

    def pids(self):
        try:
            with open(f"{self.log_file}.pids", encoding="ascii") as f:
                return [int(p) for p in f.read().split()]
        except FileNotFoundError:
            return []

    def await_run(self, n):
        """It serves once it has opened its log and the one before has ended."""
        until(lambda: len(self.pids()) >= n and os.path.exists(f"{self.log_file}.{n}"), f"run {n}", 20)

    def restart(self):
        n = len(self.pids())
        self.child.kill(signal.SIGHUP)
        self.await_run(n + 1)

    def end_run(self):
        """Its socket stays."""
        self.child.kill(signal.SIGUSR1)
        until(lambda: os.path.exists(f"{self.log_file}.ended"), "the end of the run", 20)


def test_a_restart_behind_a_socket_that_stays_cuts_what_was_in_flight_and_refuses_nobody(tmp_path, started, watching):
    server = started(Restarting(tmp_path))
    w = watching(versions=RUNS, serving=[server.port])
    load = Load(server.port)
    record = Record()
    held = [Held(server.port, f"/sleep/20000/{i}", record) for i in "ab"]
    load.more()
    server.restart()
    join(held)
    load.more()
    total = load.stop()
    d = w.stop()
    assert record.cuts() == {"unanswered": 2} and total.refused == 0
    assert_cuts(d, server.pids()[:1], record, total)
    assert {c["version"] for c in d["cuts"]} == {"v1"}
    for arm, run in (("baseline", 1), ("canary", 2)):
        lines = (tmp_path / f"restart.requests.{run}").read_text().count("GET /ok")
        assert d.counts(arm)["GET /ok", 200] == lines


def test_requests_that_wait_for_the_next_release_are_counted_as_its_own(tmp_path, started, watching):
    """The tool has found the old one gone when they come, and the new one is there before it looks again."""
    server = started(Restarting(tmp_path))
    w = watching(versions=RUNS, serving=[server.port])
    load = Load(server.port)
    load.more()
    first = load.stop()
    server.end_run()
    until(lambda: "v1: no process" in w.stderr(), "the tool to miss the old run")
    load = Load(server.port)
    until(lambda: load.record.connections == 4, "four clients in the queue")
    server.restart()
    load.more()
    second = load.stop()
    d = w.stop()
    assert_clean(d, first, second)
    assert (d.counts("baseline")["GET /ok", 200], d.counts("canary")["GET /ok", 200]) == (
        first.answered.total(), second.answered.total())
    assert d["coverage"]["unattributed"] == 0 and d["coverage"]["complete"] is True, d


def test_a_restart_between_two_requests_cuts_nothing(tmp_path, started, watching):
    server = started(Restarting(tmp_path))
    w = watching(server.port)
    load = Load(server.port)
    load.more()
    first = load.stop()
    server.restart()
    load = Load(server.port)
    load.more()
    second = load.stop()
    d = w.stop()
    assert_clean(d, first, second)
    assert d.requests() == first.answered.total() + second.answered.total()


# --- a shared port ---------------------------------------------------------------------------------------------------

def sharing(tmp_path, started):
    """An old server whose queue nobody empties, and a new one beside it."""
    port = net.free_port()
    script = os.path.join(servers.SERVERS, "queueing.py")
    old = started(Child([sys.executable, script, "--port", port], tmp_path / "old.out", env={"SHOP_RUN": "1"}))
    net.await_listeners(port, 1)
    new = started(servers.app(tmp_path, "new", port=port, options=["--reuse-port"], env={"SHOP_RUN": "2"}, wait=False))
    net.await_listeners(port, 2)
    return old, new, port


@pytest.mark.parametrize("ending", [signal.SIGUSR1, signal.SIGKILL], ids=["closes_its_listener", "is_killed"])
def test_connections_in_the_queue_of_a_server_that_goes_are_lost_by_its_doing(tmp_path, started, watching, ending):
    """Nobody had read them: what names the process is that it was at work when the kernel threw them away."""
    old, new, port = sharing(tmp_path, started)
    w = watching(versions=RUNS, serving=[port])
    record = Record()
    held = [Held(port, "/pay", record) for _ in range(40)]
    # The new one answers its share; who waits then waits in the old one's queue.
    until(lambda: (len(new.lines()) == 40 - sum(h.is_alive() for h in held)) and new.lines(), "the new one's share")
    settled = len(new.exchanges())
    old.kill(ending)
    join(held)
    d = w.stop()
    assert settled < 40, "all 40 went to the new server"
    assert record.cuts() == {"reset": 40 - record.answered["/pay"]}
    assert_cuts(d, [old.pid], record)
    assert {(c["version"], c["cause"]) for c in d["cuts"]} == {("v1", "closer")}
    assert d.counts("canary") == {("GET /pay", 200): len(new.exchanges())}
    assert d["coverage"]["unattributed"] == 0


def test_who_cut_what_is_said_in_words(tmp_path, started, watching):
    old, _, port = sharing(tmp_path, started)
    w = watching(versions=RUNS, serving=[port], json_output=False)
    record = Record()
    held = [Held(port, "/pay", record) for _ in range(40)]
    until(lambda: record.answered["/pay"], "an answer of the new one")
    old.kill(signal.SIGUSR1)
    join(held)
    net.await_closed(port)
    w.end()
    lines = [line for line in w.stdout().split("\n") if line.startswith("cut ")]
    assert f'cut "GET /pay" version=v1 reset_by_server pid={old.pid} ' in lines[-1]
    assert f"cause=closer count={record.cuts()['reset']}" in lines[-1]
