# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Which rights the tool needs, what it says when one is missing, and what it lets go of once it is attached."""
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from test_tls_versions import assert_settled, settle
from tw import net, servers, tls_servers, watch
from tw.client import ask
from tw.oracle import assert_answered, assert_counts, counts
from tw.proc import Child, children, open_to_all
from tw.traffic import Mixed, assert_all_read, get, post
from tw.wait import until
from tw.watch import config_text

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

NOBODY = 65534
NUMBERS = {"CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38,
           "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40}
VITAL = ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")
LEAST = VITAL + ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE")
ASKS = [get("/ok"), get("/missing/1", 404), get("/boom", 503), get("/orders/8812"), post("/ok", 5000)]


def mask(names):
    return sum(1 << NUMBERS[n] for n in names)


def linux():
    return tuple(int(n) for n in os.uname().release.split(".")[:2])


def kept_after_attach():
    """
    CAP_BPF goes where a map may be used by whoever has its descriptor (Linux 5.19), CAP_PERFMON where a program can be
    placed in a process by uprobe.multi (6.10).
    """
    gone = {"CAP_PERFMON"} if linux() >= (6, 10) else set()
    with open("/proc/sys/kernel/unprivileged_bpf_disabled", encoding="ascii") as f:
        if linux() >= (5, 19) or f.read().strip() == "0":
            gone.add("CAP_BPF")
    return mask(set(LEAST) - gone)


def status(pid, thread=None):
    with open(f"/proc/{pid}/task/{thread or pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def own_copy(tmp_path, rights=()):
    """The tool where any user can run it; rights: of its file."""
    copy = tmp_path / "tillwatch"
    if not copy.exists():
        shutil.copy(watch.TILLWATCH, copy)
    open_to_all(copy)
    if rights:
        subprocess.run(["setcap", ",".join(rights).lower() + "+ep", copy], check=True)
    return copy


def as_user(program, rights=()):
    """What runs it as nobody with these rights and no others, as a unit's AmbientCapabilities= would."""
    sets = ",".join("+" + r[len("CAP_"):].lower() for r in rights) or "-all"
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={sets}",
            f"--ambient-caps={sets}", program]


@pytest.fixture
def unprivileged(tmp_path, monkeypatch):
    """unprivileged(rights, by="file"): from now on the tool is run by an ordinary user who has just these."""

    def become(rights, by="ambient"):
        program = own_copy(tmp_path, rights if by == "file" else ())
        script = tmp_path / "as_user"
        command = as_user(program, rights if by == "ambient" else ())
        script.write_text("#!/bin/sh\nexec " + " ".join(map(str, command)) + ' "$@"\n')
        script.chmod(0o755)
        monkeypatch.setattr(watch, "TILLWATCH", str(script))

    return become


def user_runs(program, rights, *args):
    return subprocess.run([*as_user(program, rights), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=watch.COMMAND_SECONDS, check=False)


def assert_confined(pid, rights, uid):
    """All its threads."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        s = status(pid, thread)
        assert s["Uid"].split()[0] == str(uid)
        assert (s["NoNewPrivs"], s["Seccomp"]) == ("1", "2"), s
        for name in ("CapEff", "CapPrm"):
            assert int(s[name], 16) == rights, f"{name} is {s[name]}, not {rights:016x}"
        assert int(s["CapInh"], 16) == int(s["CapAmb"], 16) == 0, s


def two(tmp_path, certificate, started):
    """nginx as root, plain and over TLS."""
    return [started(servers.Nginx(tmp_path, name="plain")), started(tls_servers.nginx(tmp_path, certificate, name="inside"))]


def asked(plain, inside):
    """Traffic on both, as their logs have it."""
    return [Mixed(s.port, ASKS, tls=tls, parallel=4, rounds=1).run().agrees(s) for s, tls in ((plain, False), (inside, True))]


# --- an ordinary user ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["ambient", "file"])
def test_an_ordinary_user_with_the_documented_rights_sees_every_request_plain_and_inside_tls(
        by, tmp_path, certificate, started, unprivileged, watching_each):
    plain, inside = two(tmp_path, certificate, started)
    unprivileged(LEAST, by)
    w = watching_each(plain, inside)
    assert_confined(w.pid, kept_after_attach(), NOBODY)
    assert children(w.pid) == [], "without CAP_SYS_ADMIN there is nothing to keep"
    done = asked(plain, inside)
    d = w.stop()
    for arm, traffic in zip(watch.ARMS, done):
        assert_answered(d, counts(traffic.done), arm)
    assert_all_read(d, sum(traffic.connections for traffic in done))
    assert d["overhead"]["kernel_ns_per_request"] is None
    assert re.findall(r"(CAP_\w+) is missing", d.stderr) == ["CAP_SYS_ADMIN"] and "to have" not in d.stderr, d.stderr


def test_what_comes_after_the_rights_have_gone_is_found_all_the_same(
        tmp_path, certificate, started, unprivileged, watching, cgroup):
    """
    Servers that are started then, as root and in cgroups of their own, which are not there before: the rights that are
    kept are those to look into others' processes and to attach to their cgroups. One gets other workers once it is found.
    """
    plain, inside = net.free_port(), net.free_port()
    unprivileged(LEAST)
    w = watching(versions={"v1": ("baseline", {"cgroup": "/tw-privileges/plain"}),
                           "v2": ("canary", {"cgroup": "/tw-privileges/inside"})}, serving=[plain, inside])
    assert_confined(w.pid, kept_after_attach(), NOBODY)
    first = started(servers.Nginx(tmp_path, name="plain", port=plain, cgroup=cgroup("/tw-privileges/plain")))
    second = started(tls_servers.nginx(tmp_path, certificate, name="inside", port=inside,
                                       cgroup=cgroup("/tw-privileges/inside")))
    for version in ("v1", "v2"):
        until(lambda v=version: re.search(f"^tillwatch: {v}: ", w.stderr(), re.M), f"{version} to be found")
    n = settle(inside)
    before = set(children(second.pid))
    second.child.kill(signal.SIGHUP)
    until(lambda: children(second.pid) and not before & set(children(second.pid)), "another worker")
    done = [Mixed(s.port, ASKS, tls=tls, parallel=4, rounds=1).run() for s, tls in ((first, False), (second, True))]
    d = w.stop()
    assert_counts(d.counts(), counts(done[0].done))
    done[0].agrees(first)
    assert_settled(d, n, "canary")
    assert_counts({k: v for k, v in d.counts("canary").items() if k[0] != "GET /settling"}, counts(done[1].done))
    assert "cannot" not in d.stderr, d.stderr


# --- root ------------------------------------------------------------------------------------------------------------


def test_root_keeps_what_an_ordinary_user_would_and_a_process_of_its_own_the_rest_which_ends_with_it(nginx, watching):
    w = watching(nginx().port)
    assert_confined(w.pid, kept_after_attach(), 0)
    (keeper,) = children(w.pid)
    assert_confined(keeper, mask(["CAP_SYS_ADMIN"]), 0)
    assert all(int(status(pid)["CapBnd"], 16) == 0 for pid in (w.pid, keeper)), "no program that is run gets any back"
    assert sorted(os.listdir(f"/proc/{keeper}/fd")) == ["0", "1", "2", "3", "4"], "it has nothing of ours but the way to us"
    assert os.readlink(f"/proc/{keeper}/fd/4") == os.readlink("/proc/self/ns/net"), "and the way home from other namespaces"
    until(lambda: has_statistics(w.pid), "run-time statistics to be on for a moment", 20)
    w.end(signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{keeper}"), "the keeper's end")


def has_statistics(pid):
    """The descriptor that keeps them on: the keeper hands it over."""
    def name(fd):
        try:
            return os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            return ""

    return any("bpf-stats" in name(fd) for fd in os.listdir(f"/proc/{pid}/fd"))


def test_a_keeper_that_is_stopped_keeps_nobody_from_ending_and_ends_with_it(nginx, watching):
    w = watching(nginx().port)
    (keeper,) = children(w.pid)
    until(lambda: has_statistics(w.pid), "run-time statistics to be on for a moment", 20)
    os.kill(keeper, signal.SIGSTOP)
    assert w.end(seconds=10) == 0
    until(lambda: not os.path.exists(f"/proc/{keeper}"), "the keeper's end")


def test_a_server_in_a_network_namespace_that_is_made_later_is_found(tmp_path, started, watching):
    """Its listener can be asked for in there only, which wants CAP_SYS_ADMIN: the keeper does it."""
    port = net.free_port()
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=there"})})
    log = tmp_path / "there.requests"
    log.touch()
    app = os.path.join(servers.SERVERS, "app.py")
    script = f"ip link set lo up; exec {sys.executable} {app} --port {port} --log {log}"
    child = started(Child(["unshare", "--net", "sh", "-c", script], tmp_path / "there.out", env={"SHOP_VERSION": "there"}))
    until(lambda: re.search("^tillwatch: v1: ", w.stderr(), re.M), "the server in there to be found", 20)
    got = subprocess.run(["nsenter", "--net", "-t", str(child.pid), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code} ",
                          f"http://127.0.0.1:{port}/ok", f"http://127.0.0.1:{port}/fail"], capture_output=True, text=True,
                         check=True)
    assert got.stdout.endswith("503 ")
    d = w.stop(idle=True)
    assert d.counts()["GET /fail", 503] == 1, d


# --- the filter ------------------------------------------------------------------------------------------------------

# What is asked of the running tool, by a debugger that makes it call: each with the errno that it must get, 0 for none.
CALLS = [
    ("getpid", 39, (), 0),
    ("open a file to read", 257, (-100, "/proc/self/status", os.O_RDONLY, 0), 0),
    ("open a file to write", 257, (-100, "/dev/null", os.O_WRONLY, 0), errno.EPERM),
    ("make a file", 257, (-100, "/tmp/tillwatch-must-not", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), errno.EPERM),
    ("run a program", 59, ("/bin/true", 0, 0), errno.EPERM),
    ("fork", 57, (), errno.EPERM),
    ("a thread by clone3, which libc then asks clone for", 435, (0, 0), errno.ENOSYS),
    ("trace another process", 101, (16, 1, 0, 0), errno.EPERM),
    ("write into another process", 311, (1, 0, 0, 0, 0, 0), errno.EPERM),
    ("kill", 62, (1, 15), errno.EPERM),
    ("connect to the world", 41, (2, 1, 0), errno.EPERM),
    ("load a kernel program", 321, (5, 0, 0), errno.EPERM),
    ("open a perf event", 298, (0, 0, -1, -1, 0), errno.EPERM),
    ("another network", 308, (0, 0x40000000), errno.EPERM),
    ("memory to run", 9, (0, 4096, 7, 0x22, -1, 0), errno.EPERM),
    ("become another user", 105, (0,), errno.EPERM),
    ("a call that is not invented yet", 500, (), errno.ENOSYS),
]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_what_an_observation_never_does_is_refused_and_it_goes_on(nginx, watching):
    """System calls made from within the running tool, by gdb."""
    if not shutil.which("gdb"):
        pytest.skip("gdb is not installed")
    server = nginx()
    w = watching(server.port)
    ask(server.port, "GET", "/ok")
    commands = ["set confirm off", "set unwindonsignal on"]
    for _, number, arguments, _ in CALLS:
        a = ", ".join(f'"{x}"' if isinstance(x, str) else f"(long){x}" for x in (number, *arguments))
        commands.append(f"printf \"got %ld %d\\n\", ((long(*)(long, ...))syscall)({a}), *((int*(*)(void))__errno_location)()")
    out = subprocess.run(["gdb", "-q", "-nx", "-batch", "-p", str(w.pid), *(x for c in commands for x in ("-ex", c))],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False)
    answers = [tuple(map(int, m)) for m in re.findall(r"^got (-?\d+) (\d+)$", out.stdout, re.M)]
    assert len(answers) == len(CALLS), out
    got = {name: err if result == -1 else 0 for (name, *_), (result, err) in zip(CALLS, answers)}
    assert got == {name: err for name, *_, err in CALLS}
    ask(server.port, "GET", "/ok")
    assert_answered(w.stop(), {("GET /ok", 200): 2})


# --- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rights", [(), ("CAP_BPF",), ("CAP_BPF", "CAP_PERFMON"), LEAST[1:]], ids=lambda r: ", ".join(r) or "none")
def test_every_command_says_which_right_is_missing_and_how_to_have_it(rights, tmp_path):
    program = own_copy(tmp_path)
    missing = [r for r in VITAL if r not in rights]
    path = tmp_path / "c.yaml"
    path.write_text(config_text({"v1": ("baseline", {"listen": "127.0.0.1:1"}), "v2": ("canary", {"listen": "127.0.0.1:2"})}))
    for args in (["watch", "-c", path], ["gate", "-c", path, "--for", "1s"], ["top"], ["init"], ["plan", "-c", path, "--observe", "1s"]):
        r = user_runs(program, rights, *args)
        (error,) = [line for line in r.stderr.split("\n") if "error: " in line]
        assert r.returncode == 1 and r.stdout == "", r
        said, _, advice = error.partition(" missing ")
        assert re.findall(r"CAP_\w+", said) == missing, error
        assert f"setcap {','.join(LEAST).lower()}+ep {program}" in advice, error
    r = user_runs(program, rights, "doctor")
    assert r.returncode == 1
    for name in LEAST:
        (line,) = [x for x in r.stdout.split("\n") if x.split()[1:2] == [name]]
        assert line.split()[0] == ("ok" if name in rights else "NO" if name in VITAL else "--"), line
        assert ("missing: " in line) == (name not in rights), line


@pytest.mark.parametrize("lacks", [(), ("CAP_SYS_PTRACE",)], ids=["nothing", "something"])
def test_doctor_advises_what_would_help_whoever_has_all_or_all_but_one_of_the_documented_rights(lacks, tmp_path):
    r = user_runs(own_copy(tmp_path), [x for x in LEAST if x not in lacks], "doctor")
    assert r.returncode == 0, r
    (admin,) = [x for x in r.stdout.split("\n") if x.split()[1:2] == ["CAP_SYS_ADMIN"]]
    assert "missing: " in admin and admin.endswith("; who wants these gives it, too"), admin
    assert ("to have what is missing: " in r.stdout) == bool(lacks), r.stdout


@pytest.mark.parametrize("right, lost", [("CAP_SYS_PTRACE", "which program they run"), ("CAP_DAC_READ_SEARCH", "what they listen on")])
def test_without_a_right_to_look_into_processes_their_tls_is_opaque_and_that_is_said(
        right, lost, tmp_path, certificate, started, unprivileged, watching_each):
    plain, inside = two(tmp_path, certificate, started)
    unprivileged([r for r in LEAST if r != right])
    w = watching_each(plain, inside)
    ask(plain.port, "GET", "/ok")
    ask(inside.port, "GET", "/ok", tls=True)
    d = w.stop()
    assert_answered(d, {("GET /ok", 200): 1})
    assert d.counts("canary") == {} and d["coverage"]["opaque_tls"] == 1, d
    (line,) = [x for x in d.stderr.split("\n") if f"{right} is missing" in x]
    assert lost in line, line
    assert re.search(r"^tillwatch: warning: to have what is missing: .*setcap", d.stderr, re.M), d.stderr


def test_doctor_and_the_readme_name_the_same_rights():
    doc = json.loads(watch.run("doctor", "--json").out)
    assert all(r["held"] or not r["missing"] for r in doc["rights"]), doc["rights"]
    with open(os.path.join(watch.HERE, "../../../README.md"), encoding="utf-8") as f:
        table = re.findall(r"^\| `(CAP_\w+)`", f.read().split("### Rights")[1], re.M)
    assert sorted(table) == sorted(r["name"] for r in doc["rights"])
