# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The verdict as an exit code, on real canaries: servers with seeded errors and delays, loaded alike. Margins and rates
are such that the expected verdict needs a few seconds of this traffic, with room to spare.
"""
import json
import math
import signal

import pytest

from tw import servers, watch
from tw.client import Client, ask, request
from tw.gate import STEADY, STEADY_CONNECTIONS, gate_during, promotion
from tw.load import LASTING, Wrk
from tw.proc import Child
from tw.wait import until
from tw.watch import Background, config_text, run

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

GATE = {"alpha": 0.05, "max_error_ratio": 2, "max_latency_increase": "50%", "min_requests": 200, "warmup": "0s",
        "tick": "500ms"}
CODES = {"promote": 0, "rollback": 10, "hold": 20, "invalid": 30}


@pytest.fixture
def release(tmp_path, started):
    """release(baseline options, canary options): both running; returns the config's path."""

    class Release:
        def __init__(self, baseline=(), canary=(), gate=None):
            self.apps = [started(servers.app(tmp_path, n, options=["--seed", seed, *options]))
                         for n, seed, options in (("stable", 1, baseline), ("fresh", 2, canary))]
            self.config = tmp_path / "gate.yaml"
            self.config.write_text(config_text(
                {"v1": ("baseline", {"listen": str(self.apps[0].port)}), "v2": ("canary", {"listen": str(self.apps[1].port)})},
                [{"route": "GET /checkout", "critical": True}], gate or GATE))

        def load(self, connections=6):
            return [started(Wrk(tmp_path, a.port, ("/checkout",), connections, LASTING, f"wrk{i}"))
                    for i, a in enumerate(self.apps)]

        def gate(self, *args, span="8s"):
            self.load()
            return verdict_of(run("gate", "-c", self.config, "--for", span, "--json", *args))

    return Release


def verdict_of(r):
    doc = json.loads(r.out)
    assert doc["schema"] == "tillwatch.verdict/1", r
    assert r.code == CODES[doc["verdict"]], f"{doc['verdict']} with {r}"
    for reason in doc["reasons"]:
        assert reason["code"] and reason["text"]
    return doc


def codes(doc):
    return {r["code"] for r in doc["reasons"]}


def test_a_canary_that_fails_more_is_rolled_back(release):
    doc = release(["--error-rate", 0.02, "--delay-ms", 3], ["--error-rate", 0.2, "--delay-ms", 3]).gate()
    assert doc["verdict"] == "rollback", doc
    assert any(r["endpoint"] == "GET /checkout" for r in doc["reasons"]), doc
    assert doc["endpoints"][0]["bad_c"] > doc["endpoints"][0]["bad_b"]


def test_a_canary_that_is_slower_is_rolled_back(release):
    doc = release(["--error-rate", 0.02, "--delay-ms", 3], ["--error-rate", 0.02, "--delay-ms", 9]).gate()
    assert doc["verdict"] == "rollback", doc


def test_a_canary_that_is_as_good_is_promoted(release):
    same = ["--error-rate", 0.1, *STEADY]
    r = release(same, same)
    r.load(STEADY_CONNECTIONS)
    code, out = gate_during(r.config, promotion(40_000), "--json")
    doc = json.loads(out)
    assert doc["verdict"] == "promote" and code == CODES["promote"], doc
    assert all(g["ok"] for g in doc["guards"]), doc


def test_an_endpoints_weight_is_its_part_of_the_evidence(release, tmp_path):
    """
    Two gates on the same traffic. What nobody has asked about yet stays at 1; without that, the evidence against the
    release is the endpoint's own times its weight.
    """
    r = release(["--error-rate", 0.02, "--delay-ms", 3], ["--error-rate", 0.3, "--delay-ms", 3])
    gates = {}
    for weight in (0.8, 0.01):
        path = tmp_path / f"weight{weight}.yaml"
        path.write_text(config_text(
            {"v1": ("baseline", {"listen": str(r.apps[0].port)}), "v2": ("canary", {"listen": str(r.apps[1].port)})},
            [{"route": "GET /checkout", "weight": weight}, "GET /calm"], GATE))
        gates[weight] = Background("gate", "-c", path, "--for", "8s", "--json")
    r.load()
    part = []
    for weight, gate in gates.items():
        doc = verdict_of(gate.result())
        own = math.exp(next(e for e in doc["endpoints"] if e["endpoint"] == "GET /checkout")["log_e_bad"])
        assert own > 50, doc
        part.append((math.exp(doc["log_e_bad"]) - (1 - weight)) / weight / own)
    assert part[0] == pytest.approx(part[1], rel=0.05) and 0.5 < part[0] < 1, part


def test_too_little_traffic_holds(release):
    r = release(["--delay-ms", 4], ["--delay-ms", 4], gate=dict(GATE, min_requests=1_000_000_000))
    r.load()
    doc = verdict_of(run("gate", "-c", r.config, "--for", "3s", "--json"))
    assert doc["verdict"] == "hold", doc
    assert [g["name"] for g in doc["guards"] if not g["ok"]] == ["minimum_data"], doc


def test_no_traffic_holds(release):
    doc = verdict_of(run("gate", "-c", release().config, "--for", "2s", "--json"))
    assert doc["verdict"] == "hold", doc
    assert any(g["name"] == "no_traffic" and not g["ok"] for g in doc["guards"]), doc


def test_the_warm_up_is_not_judged(release):
    """A bad canary whose process has just started is not called while it warms up."""
    r = release(["--delay-ms", 3], ["--error-rate", 0.5, "--delay-ms", 3], gate=dict(GATE, warmup="1h"))
    r.load()
    doc = verdict_of(run("gate", "-c", r.config, "--for", "4s", "--json"))
    assert doc["verdict"] == "hold", doc


def test_without_json_the_verdict_is_for_people_and_the_exit_code_the_same(release):
    r = release(["--error-rate", 0.02, "--delay-ms", 3], ["--error-rate", 0.2, "--delay-ms", 3])
    r.load()
    got = run("gate", "-c", r.config, "--for", "6s")
    assert got.code == 10 and "ROLLBACK" in got.out.upper() and "GET /checkout" in got.out, got


def test_sigint_ends_a_gate_early_with_its_document(release, tmp_path):
    r = release(["--delay-ms", 4], ["--delay-ms", 4], gate=dict(GATE, min_requests=1_000_000_000))
    r.load()
    out = open(tmp_path / "gate.out", "wb")
    child = Child([watch.TILLWATCH, "gate", "-c", r.config, "--for", "1h", "--json"], tmp_path / "gate.err", stdout=out)
    try:
        until(lambda: "tillwatch: watching " in child.log_text(), child.log_text, watch.ATTACH_SECONDS)
        code = child.stop(signal.SIGINT)
    finally:
        out.close()
    doc = json.loads((tmp_path / "gate.out").read_text())
    assert doc["verdict"] == "hold" and code == 20


def test_a_gate_without_a_canary_is_wrong_usage(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(config_text({"v1": ("baseline", {"listen": "8081"})}))
    r = run("gate", "-c", path, "--for", "1s")
    assert r.code == 2 and "canary" in r.err, r


def test_lost_exchanges_make_the_verdict_invalid(raw_server, tmp_path):
    """
    More requests in flight on one connection than the observer keeps: it loses sight of nearly all that the canary
    does, and without sight there is no verdict.
    """
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
    deep = 400

    def handler(c):
        while True:
            for _ in range(deep):
                if not c.request():
                    return
            c.send(ok * deep)

    flooded, calm = raw_server(handler), raw_server(servers.answering({"/checkout": ok}))
    path = tmp_path / "gate.yaml"
    path.write_text(config_text(
        {"v1": ("baseline", {"listen": str(calm.port)}), "v2": ("canary", {"listen": str(flooded.port)})},
        ["GET /checkout"], GATE))
    gate = Background("gate", "-c", path, "--for", "4s", "--json")
    while gate.running():
        ask(calm.port, "GET", "/checkout")
        flood(flooded.port, deep)
    doc = verdict_of(gate.result())
    assert doc["verdict"] == "invalid", doc


def flood(port, deep):
    with Client(port) as c:
        c.send(request("GET", "/checkout") * deep)
        for _ in range(deep):
            c.answer()


def test_a_config_error_is_wrong_usage(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("service: [\n")
    assert run("gate", "-c", path, "--for", "1s").code == 2
    # An environment without a PATH is no obstacle: the tool starts no programs.
    path.write_text(config_text({"v1": ("baseline", {"listen": "8081"}), "v2": ("canary", {"listen": "8082"})}))
    assert run("gate", "-c", path, "--for", "1s", env={"PATH": "/nonexistent"}).code == 20
