# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Verdicts without a baseline beside the canary, and hard stops, on real servers: nginx that fails a known share of its
requests, replaced in place by another build of itself; the fault bench for dropped sessions.
"""
import json
import shutil
import time

import pytest

from tw import net, servers, watch
from tw.faults import Case, Dialogue, Faulty
from tw.load import LASTING, Wrk
from tw.proc import Child
from tw.wait import until
from tw.watch import config_text, run

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

GATE = {"min_requests": 200, "warmup": "0s", "tick": "200ms"}
CODES = {"promote": 0, "rollback": 10, "hold": 20, "invalid": 30}


def failing(percent):
    """nginx configuration: that share of /checkout fails."""
    return {"http": f'split_clients "${{request_id}}" $fails {{ {percent}% 1; * 0; }}',
            "server": "location /checkout { if ($fails = 1) { return 503; } return 200 ok; }"}


def verdict_of(r):
    doc = json.loads(r.out)
    assert r.code == CODES[doc["verdict"]], f"{doc['verdict']} with {r}"
    return doc


def codes(doc):
    return {r["code"] for r in doc["reasons"]}


def limit_of(doc, name):
    return next(x for x in doc["endpoints"][0]["limits"] if x["name"] == name)


def gate_alone(tmp_path, started, nginx, percent, **gate):
    server = nginx(**failing(percent))
    path = tmp_path / "gate.yaml"
    path.write_text(config_text({"v2": ("canary", {"listen": str(server.port)})},
                                [{"route": "GET /checkout", "critical": True, "slo": {"error_rate": "5%", "p95": "200ms"}}],
                                dict(GATE, mode="absolute", **gate)).replace('"5%"', "5%").replace('"200ms"', "200ms"))
    started(Wrk(tmp_path, server.port, ("/checkout",), 32, LASTING, pause=2))
    return path


def test_without_a_baseline_a_canary_that_keeps_its_slo_is_promoted(tmp_path, started, nginx):
    path = gate_alone(tmp_path, started, nginx, 0.5)
    doc = verdict_of(run("gate", "-c", path, "--for", "12s", "--json"))
    assert doc["verdict"] == "promote", doc
    errors = limit_of(doc, "error_rate")
    assert errors["limit"] == 0.05 and 0 < errors["share"] < 0.02, doc
    assert errors["share_bounds"][0] <= errors["share"] <= errors["share_bounds"][1] < 0.05
    assert limit_of(doc, "p95")["seconds"] == 0.2
    assert doc["endpoints"][0]["n_b"] == 0


def test_without_a_baseline_a_canary_that_breaks_its_slo_is_rolled_back_at_once(tmp_path, started, nginx):
    path = gate_alone(tmp_path, started, nginx, 20)
    began = time.monotonic()
    r = run("gate", "-c", path, "--for", "60s", "--json")
    doc = verdict_of(r)
    assert doc["verdict"] == "rollback" and "slo_breached" in codes(doc), doc
    assert limit_of(doc, "error_rate")["share_bounds"][0] > 0.05
    assert time.monotonic() - began < 30, "the gate went on after a hard stop"


def test_a_lone_canary_is_shown_and_its_missing_baseline_not_waited_for(tmp_path, started, nginx):
    path = gate_alone(tmp_path, started, nginx, 0.5)
    r = run("watch", "-c", path, "--for", "3s")
    assert r.code == 0 and "GET /checkout" in r.out, r
    assert "waiting for" not in r.out and 'limit "GET /checkout" error_rate share=' in r.out, r


def test_an_absolute_gate_needs_no_baseline_and_the_others_do(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text(config_text({"v2": ("canary", {"listen": "8082"})}, ["GET /checkout"]))
    r = run("gate", "-c", path, "--for", "1s")
    assert r.code == 2 and "mode: absolute" in r.err, r


class AttachedGate:
    """A gate that has begun to watch."""

    def __init__(self, tmp_path, started, config, span):
        self.out = tmp_path / "gate.out"
        with open(self.out, "wb") as out:
            self.child = Child([watch.TILLWATCH, "gate", "-c", config, "--for", span, "--json"], tmp_path / "gate.err",
                               stdout=out)
        started(self.child)
        until(lambda: "tillwatch: watching " in self.child.log_text(), self.child.log_text, watch.ATTACH_SECONDS)

    def running(self):
        return self.child.alive()

    def verdict(self):
        code = self.child.proc.wait(60)
        doc = json.loads(self.out.read_text())
        print(json.dumps(doc))
        assert code == CODES[doc["verdict"]], doc
        return doc


class InPlace:
    """Two versions on one port, one after the other: builds of nginx, or shops of known latency told apart by environment."""

    def __init__(self, tmp_path, started):
        self.tmp, self.started, self.port = tmp_path, started, net.free_port()

    def load(self, name, server):
        self.started(server)
        self.started(Wrk(self.tmp, self.port, ("/checkout",), 64, LASTING, f"wrk-{name}", pause=2))
        return server

    def gate(self, matches, span):
        """Attached."""
        path = self.tmp / "gate.yaml"
        path.write_text(config_text(
            {n: (arm, {"listen": str(self.port), **matches[n]}) for n, arm in (("old", "baseline"), ("new", "canary"))},
            [{"route": "GET /checkout", "critical": True}],
            dict(GATE, mode="before_after", max_error_ratio=3, max_latency_increase="50%")))
        return AttachedGate(self.tmp, self.started, path, span)

    def roll_out(self, matches, start):
        """start(name) starts that version; the gate sees 18 s of the old one, and the new one for the rest of 55 s."""
        old = self.load("old", start("old"))
        gate = self.gate(matches, "55s")
        time.sleep(18)
        old.stop()
        self.load("new", start("new"))
        return gate.verdict()


@pytest.fixture
def in_place(tmp_path, started):
    return InPlace(tmp_path, started)


def test_a_worse_build_that_took_the_olds_place_is_rolled_back_and_the_weakness_said(in_place, tmp_path):
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    programs = {}
    for name in ("old", "new"):
        programs[name] = tmp_path / f"nginx-{name}"
        shutil.copy(shutil.which("nginx"), programs[name])
    doc = in_place.roll_out(
        {n: {"exe": str(p)} for n, p in programs.items()},
        lambda n: servers.Nginx(tmp_path, name=n, port=in_place.port, program=programs[n],
                                **failing(2 if n == "old" else 20)))
    assert doc["verdict"] == "rollback" and {"errors_worse", "weaker_mode"} <= codes(doc), doc
    e = doc["endpoints"][0]
    assert e["n_b"] > 1000 and 0.01 < e["bad_b"] / e["n_b"] < 0.04, doc
    assert e["bad_c"] / e["n_c"] > 0.1, doc
    assert limit_of(doc, "errors_before")["log_e_above"] > 3


def test_a_version_as_good_as_the_one_whose_place_it_took_is_promoted_and_the_weakness_said(in_place, tmp_path):
    """A tenth of a second each, so that the load of the machine, which changes as well, is little beside it."""
    doc = in_place.roll_out(
        {n: {"env": f"SHOP_BUILD={n}"} for n in ("old", "new")},
        lambda n: servers.app(tmp_path, n, port=in_place.port, options=["--delay-ms", 100, "--error-rate", 0.05],
                              env={"SHOP_BUILD": n}))
    assert doc["verdict"] == "promote" and {"certified", "weaker_mode"} <= codes(doc), doc


def drop(server, n, script="close"):
    for _ in range(n):
        d = Dialogue(Case("checkout", script, "unanswered" if script == "close" else "answered 200"), server.port)
        d.send()
        d.drain()
        d.leave()


def test_more_dropped_sessions_than_are_allowed_stop_the_release_at_once(tmp_path, started):
    """A limit of ten: with ten it goes on, with the eleventh it is over, minimum of data or not."""
    good, bad = started(Faulty(tmp_path, name="good")), started(Faulty(tmp_path, name="bad"))
    path = tmp_path / "gate.yaml"
    path.write_text(config_text(
        {"v1": ("baseline", {"listen": str(good.port)}), "v2": ("canary", {"listen": str(bad.port)})},
        ["GET /checkout"], dict(GATE, max_dropped_sessions=10, min_requests=1_000_000)))
    gate = AttachedGate(tmp_path, started, path, "60s")
    drop(good, 30, "rest")
    drop(bad, 10)
    drop(bad, 20, "rest")
    time.sleep(1)
    assert gate.running()
    drop(bad, 1)
    until(lambda: not gate.running(), "the gate to end", 10)
    doc = gate.verdict()
    assert doc["verdict"] == "rollback" and "sessions_dropped" in codes(doc), doc
    text = next(r["text"] for r in doc["reasons"] if r["code"] == "sessions_dropped")
    assert "11 sessions" in text and "of which 10 are allowed" in text and "the baseline 0" in text
