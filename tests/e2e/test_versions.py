# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Two versions told apart by every kind of match; the oracle is each version's own log."""
import os
import shutil
import subprocess
import sys

import pytest

from tw import net, servers
from tw.client import Client, ask
from tw.oracle import assert_answered, counts
from tw.proc import Child
from tw.wait import until

TARGETS = ("/ok", "/fail", "/ok", "/orders/17")


@pytest.fixture
def pair(tmp_path, started, watching):
    """
    pair(first, second, match1, match2): both servers get traffic under watch, more of it the second; each arm must
    have counted what its server logged.
    """

    def check(first, second, match1, match2, targets=TARGETS):
        w = watching(versions={"v1": ("baseline", match1), "v2": ("canary", match2)},
                     serving=[first.port, second.port])
        for server, times in ((first, 3), (second, 5)):
            for _ in range(times):
                with Client(server.port) as c:
                    for target in targets:
                        c.ask("GET", target)
        d = w.stop()
        assert_answered(d, counts(first.exchanges(3 * len(targets))), "baseline")
        assert_answered(d, counts(second.exchanges(5 * len(targets))), "canary")
        for _, arm, a in d.arms():
            assert a["version"] == {"baseline": "v1", "canary": "v2"}[arm]
        return d

    return check


@pytest.fixture
def apps(tmp_path, started):
    def start(one=None, two=None):
        return (started(servers.app(tmp_path, "one", **(one or {}))), started(servers.app(tmp_path, "two", **(two or {}))))

    return start


def test_by_listen(apps, pair):
    one, two = apps()
    pair(one, two, {"listen": f"127.0.0.1:{one.port}"}, {"listen": str(two.port)})


def test_by_pid(apps, pair):
    one, two = apps()
    pair(one, two, {"pid": one.pid}, {"pid": two.pid})


def test_by_env(apps, pair):
    one, two = apps({"env": {"SHOP_VERSION": "1.0"}}, {"env": {"SHOP_VERSION": "1.1"}})
    pair(one, two, {"env": "SHOP_VERSION=1.0"}, {"env": "SHOP_VERSION=1.1"})


def test_by_cgroup(apps, pair, cgroup):
    a, b = f"/tw-e2e-{os.getpid()}-a.slice", f"/tw-e2e-{os.getpid()}-b.slice"
    one, two = apps({"cgroup": cgroup(a)}, {"cgroup": cgroup(b + "/inner.service")})
    pair(one, two, {"cgroup": a}, {"cgroup": b})


def test_by_unit(apps, pair, cgroup):
    names = [f"tw-e2e-{os.getpid()}-{x}.service" for x in "ab"]
    one, two = apps(*[{"cgroup": cgroup(f"/tw-e2e-{os.getpid()}.slice/{n}")} for n in names])
    pair(one, two, {"unit": names[0]}, {"unit": names[1]})


def test_by_exe(tmp_path, started, pair, uring_programs):
    programs = [shutil.copy(uring_programs[0], tmp_path / n) for n in ("shop-1.0", "shop-1.1")]
    one, two = (started(servers.uring(p, tmp_path, n)) for p, n in zip(programs, ("one", "two")))
    pair(one, two, {"exe": str(programs[0])}, {"exe": str(programs[1])}, ("/ok", "/missing"))


def test_by_build_id(tmp_path, started, pair, uring_programs):
    one, two = (started(servers.uring(p, tmp_path, n)) for p, n in zip(uring_programs, ("one", "two")))
    pair(one, two, {"build_id": "aaaaaaaa11111111"}, {"build_id": "bbbbbbbb"}, ("/ok", "/missing"))


def test_keys_of_one_match_must_all_hold(apps, tmp_path, started, watching):
    one, two = apps({"env": {"SHOP_VERSION": "1.0"}}, {"env": {"SHOP_VERSION": "1.0"}})
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=1.0", "listen": str(two.port)})},
                 serving=[one.port, two.port])
    for server in (one, two, two):
        ask(server.port, "GET", "/ok")
    d = w.stop()
    assert_answered(d, counts(two.exchanges(2)))


def test_two_versions_on_one_reuseport_port_are_told_apart_by_who_reads(tmp_path, started, watching):
    port = net.free_port()
    one, two = (started(servers.app(tmp_path, n, port=port, options=["--reuse-port"], env={"SHOP_VERSION": n}))
                for n in ("one", "two"))
    net.await_listeners(port, 2)
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=one"}),
                           "v2": ("canary", {"env": "SHOP_VERSION=two"})}, serving=[port])
    for i in range(60):
        with Client(port) as c:
            c.ask("GET", "/ok")
            c.ask("GET", ("/fail", "/orders/7")[i % 2])
    d = w.stop()
    logs = [one.exchanges(), two.exchanges()]
    assert sum(map(len, logs)) == 120 and all(logs)
    assert_answered(d, counts(logs[0]), "baseline")
    assert_answered(d, counts(logs[1]), "canary")


def test_two_versions_on_an_inherited_listener_are_told_apart_by_who_reads(tmp_path, started, watching):
    port = net.free_port()
    log = tmp_path / "inherited.log"
    started(servers.Server(
        [sys.executable, os.path.join(servers.SERVERS, "inherited.py"), "--port", port, "--log", log, "one", "two"],
        tmp_path / "inherited.out", port))
    # Both must be accepting, or one of them would get everything.
    with Client(port) as a:
        a.ask("GET", "/before")
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=one"}),
                           "v2": ("canary", {"env": "SHOP_VERSION=two"})}, serving=[port])
    for i in range(40):
        clients = [Client(port) for _ in range(4)]
        for c in clients:
            c.ask("GET", ("/ok", "/fail")[i % 2])
            c.close()
    d = w.stop()
    logs = []
    for version in ("one", "two"):
        lines = (tmp_path / f"inherited.log.{version}").read_text().split("\n")[:-1]
        logs.append([(m, t, int(s)) for m, t, s in (line.split(" ") for line in lines) if t != "/before"])
    assert sum(map(len, logs)) == 160
    assert_answered(d, counts(logs[0]), "baseline")
    assert_answered(d, counts(logs[1]), "canary")


def test_a_listener_shared_with_a_process_of_no_version_is_told_apart_by_who_reads(tmp_path, started, watching):
    port = net.free_port()
    one = started(servers.app(tmp_path, "one", port=port, options=["--reuse-port"], env={"SHOP_VERSION": "one"}))
    stranger = started(servers.app(tmp_path, "stranger", port=port, options=["--reuse-port"]))
    net.await_listeners(port, 2)
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=one"})}, serving=[port])
    for _ in range(40):
        ask(port, "GET", "/ok")
    d = w.stop()
    mine = one.exchanges()
    assert len(mine) + len(stranger.exchanges()) == 40
    assert_answered(d, counts(mine), "baseline")
    assert d["coverage"]["foreign"] == len(stranger.exchanges()) and d["coverage"]["complete"]


def test_three_versions_keep_to_their_arms(tmp_path, started, watching):
    apps = [started(servers.app(tmp_path, n)) for n in ("a", "b", "c")]
    arms = ("baseline", "canary", "other")
    w = watching(versions={f"v{i}": (arm, {"listen": str(s.port)}) for i, (arm, s) in enumerate(zip(arms, apps))},
                 serving=[s.port for s in apps])
    for i, s in enumerate(apps):
        for _ in range(2 + i):
            ask(s.port, "GET", "/ok")
    d = w.stop()
    for i, (arm, s) in enumerate(zip(arms, apps)):
        assert_answered(d, counts(s.exchanges(2 + i)), arm)


def test_more_listening_ports_than_are_looked_up_at_once_are_all_counted(nginx, watching):
    """Two versions with three ports each, one of them of every address."""
    pair, ports = [], []
    for name in ("one", "two"):
        more = [net.free_port(), net.free_port()]
        blocks = f"server {{ listen 127.0.0.1:{more[0]}; listen {more[1]}; return 200; }}"
        pair.append(nginx(name=name, http=blocks))
        ports.append([pair[-1].port, *more])
    w = watching(versions={"v1": ("baseline", {"pid": pair[0].pid}), "v2": ("canary", {"pid": pair[1].pid})},
                 serving=ports[0] + ports[1])
    for n, port in enumerate(ports[0] + ports[1]):
        for _ in range(n + 1):
            ask(port, "GET", f"/port-{n}/ok")
    d = w.stop()
    for server, arm, n in zip(pair, ("baseline", "canary"), (1 + 2 + 3, 4 + 5 + 6)):
        assert_answered(d, counts(server.exchanges(n)), arm)


def test_a_match_that_finds_nothing_is_said_with_what_was_found_instead(apps, watching):
    one, _ = apps()
    nobody = net.free_port()
    w = watching(versions={"v1": ("baseline", {"listen": str(one.port)}), "v2": ("canary", {"listen": str(nobody)})})
    ask(one.port, "GET", "/ok")
    net.await_closed(one.port)
    d = w.stop()
    assert "v2" in d.stderr and str(nobody) in d.stderr
    assert d.requests("baseline") == 1 and d.requests("canary") == 0


def test_a_server_in_a_network_namespace_of_its_own_is_counted_by_pid(tmp_path, started, watching):
    """Its loopback is not ours: the client has to run in there too."""
    port = net.free_port()
    log = tmp_path / "inside.requests"
    log.touch()
    script = ("ip link set lo up && exec " + sys.executable + " " + os.path.join(servers.SERVERS, "app.py")
              + f" --port {port} --log {log}")
    child = started(Child(["unshare", "--net", "sh", "-c", script], tmp_path / "inside.out"))
    inside = ["nsenter", "--net", "-t", str(child.pid), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code} "]
    url = f"http://127.0.0.1:{port}"

    def answers():
        return subprocess.run([*inside, f"{url}/before"], capture_output=True, text=True, check=False).stdout == "200 "

    until(answers, "the server inside the namespace", pause=0.05)
    w = watching(versions={"v1": ("baseline", {"pid": child.pid})})
    got = subprocess.run([*inside, f"{url}/ok", f"{url}/fail", f"{url}/ok"], capture_output=True, text=True, check=False)
    assert got.stdout.split()[0] == "200"
    until(lambda: log.read_text().count("\n") >= 4, "the requests to be logged")
    d = w.stop(idle=True)
    assert_answered(d, {("GET /ok", 200): 2, ("GET /fail", 503): 1})
