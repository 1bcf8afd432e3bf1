# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Tick logs of real traffic: what `replay` says of them is what `watch` and `gate` said. The oracle is their own output,
number by number as text, and nginx's log for what was counted.
"""
import json
import os
import re
import signal
import subprocess

import pytest

from tw import servers
from tw.gate import STEADY, STEADY_CONNECTIONS, gate_during, promotion
from tw.load import LASTING, Wrk
from tw.wait import until
from tw.watch import COMMAND_SECONDS, TILLWATCH, config_text, run

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

GATE = {"alpha": 0.05, "max_error_ratio": 2, "max_latency_increase": "50%", "min_requests": 200, "warmup": "0s",
        "tick": "500ms"}
CODES = {"promote": 0, "rollback": 10, "hold": 20, "invalid": 30}
# One request in ten fails, decided by nginx.
FAILING = {"http": 'split_clients "$connection.$connection_requests" $luck { 10% bad; * good; }',
           "server": 'location /checkout { if ($luck = bad) { return 503; } return 200 "ok\\n"; }'}


@pytest.fixture
def shop(tmp_path, nginx, started):
    """Two nginx alike, watched as two versions; shop.load() starts traffic on both."""

    class Shop:
        def __init__(self):
            self.nginx = [nginx(name=n, **FAILING) for n in ("stable", "fresh")]
            self.ports = [s.port for s in self.nginx]
            self.log = tmp_path / "shop.ticklog"

        def text(self, endpoints=({"route": "GET /checkout", "critical": True},), **gate):
            return config_text({"v1": ("baseline", {"listen": str(self.ports[0])}),
                                "v2": ("canary", {"listen": str(self.ports[1])})}, endpoints, dict(GATE, **gate))

        def config(self, name="shop.yaml", **options):
            path = tmp_path / name
            path.write_text(self.text(**options))
            return path

        def load(self, seconds, targets=("/checkout", "/ok", "/orders/17")):
            return [started(Wrk(tmp_path, p, targets, 4, seconds, f"wrk{i}", pause=5)) for i, p in enumerate(self.ports)]

    return Shop()


def exact(text):
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=pytest.fail)


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def replay(path, *args):
    r = run("replay", path, "--json", *args)
    doc = exact(r.out)
    assert doc["schema"] == "tillwatch.replay/1"
    return r, doc


def test_a_replay_says_what_watch_said_to_the_last_digit(shop, tmp_path, watching):
    w = watching(text=shop.text(), args=["--log", shop.log], serving=shop.ports)
    for load in shop.load(5):
        load.wait()
    # What comes in the last instant before the end is shown, and too short for a tick.
    until(lambda: lines_of(shop.log)[-1].get("seen") == 0, "a tick without traffic")
    w.stop()
    said = exact(w.stdout())
    r, again = replay(shop.log)
    ticks = [line for line in lines_of(shop.log) if "tick" in line]
    assert again["complete"] is True and again["error"] is None and not r.err, r
    assert len(again["ticks"]) == len(ticks) >= 8
    assert again["ticks"][-1]["verdict"] == said["verdict"]
    assert [t["verdict"]["verdict"] for t in again["ticks"]] == [t["verdict"] for t in ticks]
    assert [float(t["verdict"]["log_e_bad"]) for t in again["ticks"]] == [t["log_e_bad"] for t in ticks]
    assert (again["other_verdicts"], again["other_figures"]) == ("0", "0")
    assert r.code == CODES[said["verdict"]["verdict"]]
    assert said["coverage"]["tick_log"] == {"ticks": str(len(ticks)), "complete": True, "error": None}
    assert {k: again[k] for k in ("service", "run", "started")} == {k: said[k] for k in ("service", "run", "started")}

    names = {line["endpoint"]: line["name"] for line in lines_of(shop.log) if "endpoint" in line}
    assert set(names.values()) >= {"GET /checkout", "GET /ok", "GET /orders/{id}"}
    for arm, server in zip(("baseline", "canary"), shop.nginx):
        server.stop()
        of = [(names[c["i"]], c[arm]) for t in ticks for c in t["endpoints"]]
        for e in said["endpoints"]:
            told = [c["n"] for name, c in of if name == e["endpoint"]]
            assert sum(told) == int(e["arms"][arm]["requests"]), (e, told)
        failed = sum(c["bad"] for name, c in of if name == "GET /checkout")
        assert 0 < failed == sum(line.status == 503 for line in server.log())


def test_every_verdict_that_watch_shows_is_one_that_replay_finds(shop, watching):
    """Off a terminal watch shows a block of lines every five seconds; their reasons hold the figures."""
    w = watching(text=shop.text(tick="1s"), args=["--log", shop.log], json_output=False, serving=shop.ports)
    for load in shop.load(12):
        load.wait()
    assert w.end() == 0
    shown = []
    for block in re.split(r"^watch ", w.stdout(), flags=re.M)[1:]:
        verdict = re.search(r"^verdict (\w+)$", block, re.M).group(1)
        shown.append((verdict, re.findall(r"^reason [^:]*?(?: \".*?\")?: (.*)$", block, re.M)))
    # The first is shown at once, before there is a tick to be judged.
    before_any, *shown = shown
    assert before_any[0] == "hold" and len(shown) >= 3
    _, again = replay(shop.log)
    found = [(t["verdict"]["verdict"], [x["text"] for x in t["verdict"]["reasons"]]) for t in again["ticks"]]
    at = 0
    for one in shown:
        assert one in found[at:], f"{one} is not among {found[at:]}"
        at = found.index(one, at)


@pytest.fixture
def release(tmp_path, started):
    """Two servers alike, under load, that a gate promotes; returns (its log, the config's text with another gate)."""
    options = ["--error-rate", 0.1, *STEADY]
    apps = [started(servers.app(tmp_path, n, options=["--seed", s, *options])) for n, s in (("stable", 1), ("fresh", 2))]

    def text(**gate):
        return config_text({"v1": ("baseline", {"listen": str(apps[0].port)}), "v2": ("canary", {"listen": str(apps[1].port)})},
                           [{"route": "GET /checkout", "critical": True}], dict(GATE, **gate))

    config, log = tmp_path / "gate.yaml", tmp_path / "gate.ticklog"
    config.write_text(text())
    for i, a in enumerate(apps):
        started(Wrk(tmp_path, a.port, ("/checkout",), STEADY_CONNECTIONS, LASTING, f"wrk{i}"))
    code, out = gate_during(config, promotion(40_000), "--json", log=log)
    assert code == 0, out
    return log, exact(out), text


def test_a_stricter_margin_would_have_held_what_was_promoted(release, tmp_path):
    log, said, text = release
    r, again = replay(log)
    assert r.code == 0 and again["ticks"][-1]["verdict"] == said
    strict = tmp_path / "strict.yaml"
    strict.write_text(text(max_error_ratio=1.01, max_latency_increase="5%"))
    r, other = replay(log, "-c", strict)
    assert r.code == 20 and other["verdict"] == "hold", r
    last = other["ticks"][-1]
    assert last["watched"] == "promote" and last["differs"] is True
    assert int(other["other_verdicts"]) > 0 and other["policy"]["max_error_ratio"] == "1.01"
    # Another margin counts nothing anew.
    figures = ("n_c", "n_b", "bad_c", "bad_b", "slow_c", "slow_b")
    assert [last["verdict"]["endpoints"][0][k] for k in figures] == [said["endpoints"][0][k] for k in figures]

    people = run("replay", log, "-c", strict)
    assert people.code == 20
    assert "max_error_ratio 1.01 instead of 2" in people.out and "hold (promote when it was watched)" in people.out, people
    people = run("replay", log)
    assert people.code == 0 and "every tick has the verdict it had when it was watched" in people.out, people
    assert len(re.findall(r"^ +[\d.]+ m?s  (promote|hold)", people.out, re.M)) <= len(again["ticks"]), people


def test_a_canary_by_itself_is_replayed_as_well(shop, tmp_path):
    config = tmp_path / "alone.yaml"
    config.write_text(config_text({"v2": ("canary", {"listen": str(shop.ports[1])})},
                                  [{"route": "GET /checkout", "critical": True, "slo": {"error_rate": "1%", "p95": "1s"}}],
                                  dict(GATE, mode="absolute")))
    shop.load(LASTING)
    r = run("gate", "-c", config, "--for", "6s", "--json", "--log", shop.log)
    said = exact(r.out)
    assert r.code == 10, r
    assert lines_of(shop.log)[0]["baseline"] is None
    again, doc = replay(shop.log)
    assert again.code == 10 and doc["ticks"][-1]["verdict"] == said and doc["other_figures"] == "0", again
    people = run("replay", shop.log)
    assert people.code == 10 and "(null)" not in people.out and "v2 (canary)" in people.out, people


def test_a_run_that_is_killed_leaves_a_log_that_is_replayed_up_to_there(shop, tmp_path, watching):
    w = watching(text=shop.text(), args=["--log", shop.log])
    shop.load(LASTING)
    until(lambda: shop.log.read_text().count('{"tick":') >= 4, "four ticks in the log", 20)
    w.end(signal.SIGKILL)
    whole = shop.log.read_text()
    ticks = whole.count('{"tick":')
    r, doc = replay(shop.log)
    assert r.code == 1 and len(doc["ticks"]) == ticks and doc["complete"] is False, r
    assert f"{shop.log}:" in r.err and "the end is missing" in r.err, r.err
    shop.log.write_text(whole[:-40])
    r, doc = replay(shop.log)
    assert r.code == 1 and len(doc["ticks"]) == ticks - 1, r
    assert "the line is cut off" in r.err and "the line is cut off" in doc["error"], r
    damaged = whole.replace('"warming":false', '"warming":true', 1)
    line = damaged[:damaged.index('"warming":true')].count("\n") + 1
    shop.log.write_text(damaged)
    r, doc = replay(shop.log)
    assert r.code == 1 and f"{shop.log}:{line}: the check does not fit" in r.err, r
    assert len(doc["ticks"]) == 0 and doc["error"], doc


def test_a_full_disk_stops_the_log_and_not_the_run(shop, tmp_path, watching, started):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr}")
    try:
        log = disk / "log"
        w = watching(text=shop.text(), args=["--log", log], serving=shop.ports)
        for load in shop.load(6):
            load.wait()
        d = w.stop()
        r, again = replay(log)
    finally:
        subprocess.run(["umount", disk], check=True)
    state = d["coverage"]["tick_log"]
    assert state["complete"] is False and "No space left on device" in state["error"], state
    assert any("No space left on device" in note for note in d["notes"])
    assert w.stderr().count("No space left on device") == 1
    assert r.code == 1 and len(again["ticks"]) == state["ticks"] > 0, r
    assert sum(g["ok"] for g in d["verdict"]["guards"]) > 0 and d["seconds"] > 5
    assert all(t["verdict"]["verdict"] for t in again["ticks"])


def watched_with(closed, shop, *args):
    """A watch of two seconds, started with these of its standard descriptors closed."""
    watch = [TILLWATCH, "watch", "-c", shop.config(), "--for", "2s", "--log", shop.log, *args]
    return subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *map(str, watch)], capture_output=True, text=True,
                          timeout=COMMAND_SECONDS, check=False)


@pytest.mark.parametrize("closed, code", [("<&-", 0), (">&-", 1), ("2>&-", 0), ("<&- >&- 2>&-", 1)])
def test_a_log_has_nothing_but_its_ticks_where_a_standard_descriptor_is_closed(closed, code, shop):
    """Its file would have the number of what is closed, and what is printed would be in it."""
    done = watched_with(closed, shop, "--json")
    assert done.returncode == code, done
    assert ("error: cannot write to standard output" in done.stderr) == (closed == ">&-"), done
    r, again = replay(shop.log)
    assert again["error"] is None and again["complete"] is True and len(again["ticks"]) >= 3, r


def test_a_closed_standard_output_ends_a_watch_at_its_first_lines_and_they_are_not_in_its_log(shop):
    done = watched_with(">&-", shop)
    assert done.returncode == 1 and "error: cannot write to standard output" in done.stderr, done
    _, again = replay(shop.log)
    assert "the end is missing" in again["error"], again


def test_a_log_is_never_written_over(shop, tmp_path):
    config = shop.config()
    shop.log.write_text("mine")
    r = run("gate", "-c", config, "--for", "1h", "--log", shop.log)
    assert r.code == 1 and str(shop.log) in r.err and "holds something" in r.err, r
    assert shop.log.read_text() == "mine"
    shop.log.write_text("")
    assert run("gate", "-c", config, "--for", "1s", "--log", shop.log).code == 20
    assert replay(shop.log)[0].code == 20
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    for wrong in (tmp_path, tmp_path / "no" / "such", full):
        r = run("watch", "-c", config, "--for", "1h", "--log", wrong)
        assert r.code == 1 and str(wrong) in r.err, r


def test_what_cannot_be_replayed_is_said_in_one_line(tmp_path):
    config = tmp_path / "one.yaml"
    config.write_text(config_text({"v1": ("baseline", {"listen": "8081"})}))
    r = run("watch", "-c", config, "--for", "1s", "--log", tmp_path / "log")
    assert r.code == 2 and "canary" in r.err and not os.path.exists(tmp_path / "log"), r
    assert run("replay").code == 2
    assert run("replay", tmp_path / "a", tmp_path / "b").code == 2
    assert run("replay", tmp_path / "none", "-c", tmp_path / "none.yaml").code == 2
    for name, content in (("none", None), ("empty", ""), ("text", "hello\n"), ("json", "{}\n"), ("zeros", "\0" * 5000)):
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        r = run("replay", path)
        assert r.code == 1 and r.out == "" and str(path) in r.err and r.err.count("\n") == 1, r
