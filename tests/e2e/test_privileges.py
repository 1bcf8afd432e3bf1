# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Which rights the tool needs, what it says when one is missing, and what it lets go of once it is attached."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from test_tls_versions import assert_settled, settle
from tw import net, servers, tls_servers, watch
from tw.client import Client, ask
from tw.oracle import assert_answered, assert_counts, counts
from tw.proc import Child, children, open_to_all
from tw.traffic import Mixed, assert_all_read, get, post
from tw.wait import until
from tw.watch import config_text

NOBODY = 65534
NUMBERS = {"CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38,
           "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40}
VITAL = ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")
LEAST = VITAL + ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE")
ASKS = [get("/ok"), get("/missing/1", 404), get("/boom", 503), get("/orders/8812"), post("/ok", 5000)]


@pytest.fixture(autouse=True)
def not_in_a_dry_run():
    if watch.DRY:
        pytest.skip("a dry run does not run the tool")


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
    assert "CAP_SYS_ADMIN is missing" in d.stderr and d.stderr.count("is missing") == 1, d.stderr


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
