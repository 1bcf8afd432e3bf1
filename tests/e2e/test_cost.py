# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What watching costs, and what is done when that is too much. Oracles: the kernel's own statistics by bpftool, /proc, and
who was cut while details were asked for, and while they were not.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from test_privileges import has_statistics
from tw import watch as tool
from tw.client import Client
from tw.load import Wrk
from tw.proc import children
from tw.wait import pause, until

STATISTICS = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
FIRST_WINDOW = 0.75  # s after the start it is over


def bpftool(*words):
    path = shutil.which("bpftool", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        pytest.skip("bpftool is not installed")
    return json.loads(subprocess.run([path, *words, "-j"], check=True, capture_output=True, text=True).stdout)


def held(pid, what):
    """Ids of the BPF programs ("prog_id") or maps ("map_id") that a process has open."""
    found = set()
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            found |= {int(n) for n in re.findall(rf"^{what}:\s*(\d+)$", info.read_text(), re.M)}
        except FileNotFoundError:
            pass  # it has closed that one meanwhile: none that it keeps
    return found


def spent(pid):
    """
    Id -> (runs, ns) of the programs that a process has open, as the kernel has counted them; but for the one that shows what
    counting costs, which is attached nowhere.
    """
    mine = held(pid, "prog_id")
    return {p["id"]: (p.get("run_cnt", 0), p.get("run_time_ns", 0)) for p in bpftool("prog", "show")
            if p["id"] in mine and p.get("name") != "tw_nothing"}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def about(value, expected, part):
    assert value is not None and abs(value - expected) <= part * expected, f"{value} is not {expected} to {part:.0%}"


@pytest.fixture
def statistics_of_others():
    """Somebody else has switched run-time statistics on: they count all the time."""
    before = STATISTICS.read_text()
    STATISTICS.write_text("1")
    yield
    STATISTICS.write_text(before)


@pytest.mark.alone
def test_time_and_memory_are_those_that_the_kernel_tells_others(tmp_path, nginx, started, watching, statistics_of_others):
    server = nginx()
    w = watching(server.port)
    before, cpu = spent(w.pid), cpu_seconds(w.pid)
    # Two windows, of which the second lies inside: five seconds after the first, which may come before the load does.
    started(Wrk(tmp_path, server.port, ("/ok",), 8, 7, pause=1)).wait()
    after, cpu = spent(w.pid), cpu_seconds(w.pid) - cpu
    rss = int(pathlib.Path(f"/proc/{w.pid}/statm").read_text().split()[1]) * PAGE
    maps = held(w.pid, "map_id")
    map_bytes = sum(m["bytes_memlock"] for m in bpftool("map", "show") if m["id"] in maps)
    d = w.stop()

    kernel, requests = d["cost"]["kernel"], d.requests()
    sampled = kernel["sampled"]
    assert kernel["why_not"] is None and sampled["windows"] == 2 and 0.5 <= sampled["seconds"] < 2, sampled
    assert sampled["of_exchanges"] == requests and 0.02 * requests < sampled["exchanges"] < 0.3 * requests, sampled
    # Each program, per run and per exchange; those that ran often enough for a figure.
    programs = {p["id"]: p for p in kernel["programs"]}
    assert set(programs) == set(after)
    busy = [i for i, (runs, _) in after.items() if runs - before[i][0] > requests / 2]
    assert {programs[i]["program"] for i in busy} >= {"tw_ingress", "tw_egress"}
    for i in busy:
        runs, ns = after[i][0] - before[i][0], after[i][1] - before[i][1]
        p = programs[i]
        about(p["ns"] / p["runs"], ns / runs, 0.3)
        about(p["runs"] / sampled["exchanges"], runs / requests, 0.3)
    assert all(p["runs"] is None and p["ns"] is None for p in kernel["programs"] if p["tail_called"])
    assert sum(p["ns"] or 0 for p in kernel["programs"] if not p["on_agent_time"]) == kernel["ns"]
    about(kernel["gross_ns_per_exchange"], sum(after[i][1] - before[i][1] for i in busy) / requests, 0.3)
    # Net of what is shown for a program that does nothing, which is some of it and not all of it.
    assert 0 < kernel["statistics_ns_per_run"] < 500 and kernel["statistics_added_ns_per_run"] is None, kernel
    about(kernel["gross_ns_per_exchange"] - kernel["ns_per_exchange"],
          kernel["statistics_ns_per_run"] * kernel["runs"] / sampled["exchanges"], 0.001)
    assert 0 < kernel["ns_per_exchange"] < kernel["gross_ns_per_exchange"]

    about(kernel["map_bytes"], map_bytes, 0.01)
    about(d["cost"]["agent"]["rss_bytes"], rss, 0.1)
    # In hundredths of a second, and with what it takes to end.
    assert -0.03 < d["cost"]["agent"]["cpu_seconds"] - cpu < 0.15, (d["cost"]["agent"], cpu)
    about(d["cost"]["agent"]["cores"], d["cost"]["agent"]["cpu_seconds"] / d["seconds"], 0.001)


class Bare:
    """`tillwatch … watch --json`, started by way of a command, or with options of its own."""

    def __init__(self, tmp, port, before=(), options=()):
        config = tmp / "bare.yaml"
        config.write_text(tool.config_text({"v1": ("baseline", {"listen": f"127.0.0.1:{port}"})}))
        self.out = tmp / "bare.out"
        self.child = tool.Child([*before, tool.TILLWATCH, *options, "watch", "-c", config, "--json"], tmp / "bare.err",
                                stdout=open(self.out, "wb"))

    def said(self, what, seconds):
        until(lambda: re.search(what, self.child.log_text(), re.M) or not self.child.alive(),
              lambda: f"{what!r}; it said {self.child.log_text()!r}", seconds, pause=0.02)
        assert self.child.alive(), self.child.log_text()

    def document(self):
        assert self.child.stop(signal.SIGINT) == 0, self.child.log_text()
        return tool.Document(self.out.read_text())

    def discard(self):
        self.child.stop(signal.SIGKILL)


@pytest.fixture
def statistics_off():
    if tool.DRY:
        pytest.skip("a dry run measures nothing")
    if STATISTICS.read_text().strip() != "0":
        pytest.skip("somebody has switched run-time statistics on (kernel.bpf_stats_enabled)")


@pytest.mark.usefixtures("statistics_off")
def test_statistics_are_on_in_a_twentieth_of_the_time_and_what_they_add_is_measured(nginx, tmp_path, started):
    server = nginx()
    started(Wrk(tmp_path, server.port, ("/ok",), 4, pause=1))
    w = started(Bare(tmp_path, server.port, options=["--verbose"]))
    # Another tillwatch may have them on at that moment: then a later window begins with it.
    w.said(r"run-time statistics show [\d.]+ ns for a run that does nothing, and add [\d.]+ ns", tool.ATTACH_SECONDS)
    pause(FIRST_WINDOW)
    d = w.document()
    kernel, sampled = d["cost"]["kernel"], d["cost"]["kernel"]["sampled"]
    assert kernel["why_not"] is None and sampled["exchanges"] > 50
    assert 1 <= sampled["windows"] <= 1 + d["seconds"] / 5.25 and 0.25 <= sampled["seconds"] / sampled["windows"] < 1, sampled
    # Two readings of a clock, at least; and what they show of it is a part.
    assert 1 < kernel["statistics_ns_per_run"] < 500 and 1 < kernel["statistics_added_ns_per_run"] < 1000


@pytest.mark.usefixtures("statistics_off")
def test_without_the_right_to_the_statistics_kernel_time_is_null_and_the_reason_is_said(nginx, tmp_path, started):
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    server = nginx()
    w = started(Bare(tmp_path, server.port, before=["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]))
    w.said("^tillwatch: watching ", tool.ATTACH_SECONDS)
    with Client(server.port) as c:
        end, n = time.monotonic() + FIRST_WINDOW + 0.5, 0
        while time.monotonic() < end:
            assert c.ask("GET", "/ok").status == 200
            n += 1
    d = w.document()
    kernel = d["cost"]["kernel"]
    assert "Operation not permitted" in kernel["why_not"] and "CAP_SYS_ADMIN" in kernel["why_not"], kernel["why_not"]
    assert all(kernel[k] is None for k in ("ns_per_exchange", "gross_ns_per_exchange", "cores", "ns", "runs"))
    assert all(p["ns"] is None and p["runs"] is None for p in kernel["programs"])
    assert kernel["sampled"] == {"windows": 0, "seconds": 0, "exchanges": 0, "of_exchanges": n}
    assert d["overhead"]["kernel_ns_per_request"] is None
    # What needs no right is there, and so are the counts.
    assert d.requests() == n and kernel["map_bytes"] > 1e6 and d["cost"]["agent"]["cpu_seconds"] > 0


@pytest.mark.alone
def test_where_others_have_the_statistics_on_nobody_says_that_kernel_time_is_missing(
        nginx, tmp_path, started, statistics_of_others):
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    without = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    server = nginx()
    w = started(Bare(tmp_path, server.port, before=without))
    w.said("^tillwatch: watching ", tool.ATTACH_SECONDS)
    started(Wrk(tmp_path, server.port, ("/ok",), 4, 2, pause=1)).wait()
    d, said = w.document(), w.child.log_text()
    assert d["overhead"]["kernel_ns_per_request"] > 0 and d["cost"]["kernel"]["why_not"] is None
    (line,) = [x for x in said.split("\n") if "CAP_SYS_ADMIN is missing" in x]
    doctor = subprocess.run([*without, tool.TILLWATCH, "doctor"], capture_output=True, text=True, check=True).stdout
    (found,) = [x for x in doctor.split("\n") if x.split()[1:2] == ["CAP_SYS_ADMIN"]]
    for text in (line, found):
        assert "null" not in text and "budget" not in text and "network namespaces" in text, text


@pytest.mark.usefixtures("statistics_off")
@pytest.mark.parametrize("number, what", [(signal.SIGKILL, "has gone"), (signal.SIGSTOP, "does not answer")])
def test_a_keeper_that_is_not_there_any_more_is_said_once_and_kernel_time_is_null(
        number, what, nginx, tmp_path, started, watching):
    server = nginx()
    w = watching(server.port)
    (keeper,) = children(w.pid)
    started(Wrk(tmp_path, server.port, ("/ok",), 4, pause=1))
    until(lambda: has_statistics(w.pid), "run-time statistics to be on for a moment", 20)
    until(lambda: not has_statistics(w.pid), "the end of that moment")
    os.kill(keeper, number)
    until(lambda: what in w.stderr(), lambda: f"the keeper to be missed; it said {w.stderr()!r}", 30)
    d = w.stop(idle=True)
    kernel = d["cost"]["kernel"]
    assert d.stderr.count("the process that keeps CAP_SYS_ADMIN") == 1, d.stderr
    assert "the process that keeps CAP_SYS_ADMIN is gone" in kernel["why_not"], kernel
    assert kernel["sampled"]["windows"] == 1 and kernel["sampled"]["exchanges"] >= 50, kernel["sampled"]
    assert all(kernel[k] is None for k in ("ns_per_exchange", "gross_ns_per_exchange", "cores", "ns", "runs"))
    assert all(p["ns"] is None and p["runs"] is None for p in kernel["programs"])
    assert d["overhead"]["kernel_ns_per_request"] is None and d["cost"]["budget"]["used_kernel_cores"] is None


def ask(port, target, n):
    """On one connection, kept open between: each answer is acknowledged at the latest by the next request."""
    with Client(port) as c:
        for _ in range(n):
            assert c.ask("GET", target).status == 200


def be_cut(port, n):
    for _ in range(n):
        with Client(port) as c:
            c.send(b"GET /cut HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            assert c.closed_by_server()


@pytest.mark.alone
def test_above_the_budget_details_are_shed_and_told_and_come_back_when_the_load_has_gone(tmp_path, nginx, started, watching):
    server = nginx(server="location = /cut { return 444; }")
    w = watching(server.port, endpoints=["GET /ok", "GET /cut", "GET /during", "GET /after"],
                 extra="cost: { budget: 0.01%, floor: 2.5% }\n")
    be_cut(server.port, 2)
    load = started(Wrk(tmp_path, server.port, ("/ok",), 8))
    over = until(lambda: re.search(r"watching takes ([\d.]+) % of a core at ([\d.e+]+) requests/s, more than the budget of "
                                   r"2.5 %: from now on it is not asked who cut an exchange", w.stderr()),
                 lambda: f"the budget to be exceeded; it said {w.stderr()!r}", 60, pause=0.05)
    assert float(over[1]) > 2.5 and float(over[2]) > 100
    be_cut(server.port, 3)
    load.stop()
    ask(server.port, "/during", 20)
    assert w.stderr().count("from now on it is not asked") == 1
    until(lambda: "well below the budget of 2.5 %: details are asked for again" in w.stderr(),
          lambda: f"details to be asked for again; it said {w.stderr()!r}", 150, pause=0.05)
    pause(0.2)  # a look later
    ask(server.port, "/after", 20)
    be_cut(server.port, 4)
    d = w.stop()

    # Every exchange is counted, and who cut it is known of those before and after.
    assert d.figures("GET /cut")["outcomes"]["unanswered"] == 9
    by_nginx = [c for c in d["cuts"] if c["endpoint"] == "GET /cut"]
    assert sum(c["count"] for c in by_nginx) == 6 and all(c["pid"] for c in by_nginx), d["cuts"]
    # wrk goes in the middle of its eight requests.
    assert 3 <= d["coverage"]["details_shed"] <= 3 + 8 and d["cuts_lost"] == 0
    assert 5 < d["coverage"]["details_shed_seconds"] < d["seconds"] - 10
    assert d["coverage"]["complete"] is True
    assert d.latency("GET /during", "drain")["count"] == 0 and d.latency("GET /during")["count"] == 20
    assert d.latency("GET /after", "drain")["count"] >= 19
    cost = d["cost"]
    assert cost["over_budget"] is False and cost["details_shed"] is False
    assert cost["budget"]["allowed_cores"] == 0.025 > cost["budget"]["used_cores"]


def test_a_budget_that_cannot_be_is_refused_with_the_way_to_write_it(tmp_path):
    config = tmp_path / "c.yaml"
    for text, says in (("{ budget: 2 }", "c.yaml:4: "), ("{ budget: 200% }", "from 0.01% to 100%"),
                       ("{ flor: 1% }", 'did you mean "floor"?')):
        config.write_text(tool.config_text({"v1": ("baseline", {"listen": "127.0.0.1:1"})}, extra=f"cost: {text}\n"))
        r = tool.run("watch", "-c", config)
        assert r.code == 2 and says in r.err, r
    config.write_text(tool.config_text({"v1": ("baseline", {"listen": "127.0.0.1:1"})}))
    for command in (("watch", "-c", config), ("top",)):
        r = tool.run(*command, "--cost-budget", "2")
        assert r.code == 2 and "ambiguous without a unit: write 2%" in r.err, r
    r = tool.run("watch", "-c", config, "--stats", "--json")
    assert r.code == 2 and "leave one out" in r.err, r


def test_stats_lists_the_programs_at_every_refresh_and_at_the_end(tmp_path, nginx, started, watching):
    server = nginx()
    w = watching(server.port, args=["--stats", "--cost-budget", "off"], json_output=False)
    load = started(Wrk(tmp_path, server.port, ("/ok",), 4, 2, pause=1))
    until(lambda: "\nprogram tw_ingress " in w.stdout(), "a refresh after the first sample", 30)
    load.wait()
    assert w.end() == 0, w.stderr()
    # What is shown at once, and before anything has been sampled, has no programs yet.
    blocks = [block for block in w.stdout().strip().split("\n\n") if "\nprogram " in block]
    assert len(blocks) >= 2
    for block in blocks:
        lines = block.split("\n")
        assert lines[0].startswith("stats shop seconds=")
        programs = {}
        for line in lines:
            if line.startswith("program "):
                programs[line.split()[1]] = dict(word.split("=") for word in line.split()[2:] if "=" in word)
        ran = [int(p["runs"]) for p in programs.values()]
        times = [int(p["ns"]) for p in programs.values()]
        assert programs["tw_ingress"]["hook"] == "cgroup_skb/ingress" and min(ran) > 0 and times == sorted(times, reverse=True)
        assert re.search(r"^programs tail_called=\d+ not_run=\d+$", block, re.M)
        assert re.search(r"^cost used=\S+ allowed=- .*over=no details=asked kernel_net=\S+ kernel_gross=\S+ sampled=\d+/\d+ maps=\S+$",
                         block, re.M), block
        assert re.search(r"^overhead kernel_per_request=[\d.]+(ns|us) ", block, re.M), block
