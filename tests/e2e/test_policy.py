# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the policy makes of a real pair of nginx: an endpoint that must not wait, a deadline, units with owners of their
own. Both stand before the same application, which takes its time, and are loaded alike; one may fail by itself.
"""
import json

import pytest

from tw import servers
from tw.client import ask
from tw.gate import STEADY, STEADY_CONNECTIONS, a_tick_more, gate_during, requests, ticks_of
from tw.load import LASTING, Wrk
from tw.watch import config_text, run

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

GATE = {"alpha": 0.05, "max_error_ratio": 2, "max_latency_increase": "100%", "min_requests": 200, "warmup": "0s",
        "tick": "500ms"}
PATHS = ("/login", "/pay", "/sitemap")
SPAN = 60
# A location that fails now and then, by the request's number on its connection: no clock, no chance.
LOCATION = "location = {path} {{ if ($connection_requests ~ \"{which}$\") {{ return 500; }} proxy_pass http://127.0.0.1:{app}; }}"


def locations(app, failing):
    return "\n".join(LOCATION.format(path=p, which=failing.get(p, "none"), app=app.port) for p in PATHS)


@pytest.fixture
def pair(tmp_path, nginx, started):
    """
    pair(endpoints, canary failures, ...): both versions under load; returns the config's path. load=False: without the
    load, and their ports are in pair.ports. steady: under one whose times can be certified on a busy machine as well.
    """

    def make(endpoints, failing, gate=None, extra="", load=True, steady=False):
        app = started(servers.app(tmp_path, options=STEADY if steady else ["--delay-ms", 5]))
        connections, pause = (STEADY_CONNECTIONS, 0) if steady else (6, 4)
        versions = [nginx(name=n, server=locations(app, f)) for n, f in (("stable", {}), ("fresh", failing))]
        path = tmp_path / "policy.yaml"
        path.write_text(config_text(
            {"v1": ("baseline", {"listen": str(versions[0].port)}), "v2": ("canary", {"listen": str(versions[1].port)})},
            endpoints, dict(GATE, **(gate or {})), extra=extra))
        make.ports = [v.port for v in versions]
        for i, v in enumerate(versions if load else ()):
            started(Wrk(tmp_path, v.port, PATHS, connections, LASTING, f"wrk{i}", pause=pause))
        return path

    return make


def gate(path, span=SPAN):
    """The verdict, the run, and for how many seconds it watched, which begin when it has attached."""
    log = path.with_suffix(".ticklog")
    r = run("gate", "-c", path, "--for", f"{span}s", "--json", "--log", log)
    doc = json.loads(r.out)
    watched = ticks_of(log)[-1]["end"]
    assert r.code == {"promote": 0, "rollback": 10, "hold": 20, "invalid": 30}[doc["verdict"]], r
    return doc, r, watched


def codes(doc):
    return [r["code"] for r in doc["reasons"]]


def check_summary(doc):
    s = doc["summary"]
    assert s.endswith(".") and s[0].isupper() and 80 < len(s) < 600, s


def test_a_gate_ends_at_once_when_an_endpoint_that_must_not_wait_fails(pair):
    path = pair([{"route": "GET /login", "fail_fast": True}, "GET /pay", "GET /sitemap"], {"/login": "[0-4]"})
    doc, r, watched = gate(path)
    assert doc["verdict"] == "rollback" and doc["final"], doc
    assert watched < SPAN * 2 / 3, r
    assert "fail_fast" in codes(doc), doc
    assert "GET /login" in doc["summary"], doc
    assert [e["fail_fast"] for e in doc["endpoints"] if e["endpoint"] == "GET /login"] == [True]
    check_summary(doc)


def test_without_it_the_gate_waits_for_its_time(pair):
    path = pair(["GET /login", "GET /pay", "GET /sitemap"], {"/login": "[0-4]"})
    doc, r, watched = gate(path, 10)
    assert doc["verdict"] == "rollback" and not doc["final"], doc
    assert watched > 9, r
    assert "fail_fast" not in codes(doc), doc


@pytest.mark.parametrize("then,verdict", [("rollback", "rollback"), ("hold", "hold")])
def test_the_deadline_makes_of_a_hold_what_was_agreed(pair, then, verdict):
    path = pair(["GET /login", "GET /pay", "GET /sitemap"], {},
                {"min_requests": 1_000_000_000, "deadline": "4s", "at_deadline": then})
    doc, r, watched = gate(path)
    assert doc["verdict"] == verdict and doc["final"], doc
    assert codes(doc)[0] == "deadline" and doc["eta_seconds"] is None, doc
    assert 4 <= watched < SPAN * 2 / 3, r
    assert "time allowed is over" in doc["summary"], doc
    check_summary(doc)


def test_a_release_that_is_as_good_is_promoted_before_its_deadline(pair):
    path = pair(["GET /login", "GET /pay", "GET /sitemap"], {}, {"deadline": "30s", "at_deadline": "rollback"}, steady=True)
    doc, r, watched = gate(path)
    assert doc["verdict"] == "promote" and doc["final"], doc
    assert watched < SPAN, r


UNITS = """
units:
  money: { owner: "team-pay" }
  seo: { owner: "team-web", max_error_ratio: 1.05 }
"""


ENOUGH = 20_000  # requests: several times as many as certify two endpoints, far fewer than show the third


def test_each_unit_has_its_owner_and_its_verdict(pair):
    """The seo unit's margin of 1.05 cannot be shown by so many; the sitemap's weight is too small for a rollback."""
    path = pair([{"route": "GET /pay", "unit": "money"}, {"route": "GET /login", "unit": "money"},
                 {"route": "GET /sitemap", "unit": "seo", "slo": {"error_rate": "0.001%"}}], {}, extra=UNITS, steady=True)
    code, out = gate_during(path, requests(ENOUGH), "--json")
    doc = json.loads(out)
    units = {u["unit"]: u for u in doc["units"]}
    assert units["money"]["verdict"] == "promote" and units["money"]["owner"] == "team-pay", doc
    assert units["money"]["deciding"] == units["money"]["certified"] == 2, doc
    assert units["seo"]["verdict"] == "hold" and units["seo"]["owner"] == "team-web", doc
    assert doc["verdict"] == "hold" and code == 20, doc
    margins = {e["endpoint"]: e["max_error_ratio"] for e in doc["endpoints"]}
    assert margins["GET /sitemap"] == 1.05 and margins["GET /pay"] == 2, doc


BURST, BURSTS = 5, 10


def bursts_on(ports):
    """
    Traffic that goes by the gate's own ticks: when one is over, BURST requests of the sitemap to each version in turn, and
    one of the other paths. BURSTS of them.
    """

    def work(child, log):
        for _ in range(BURSTS):
            a_tick_more(child, log)
            for target in ("/pay", "/login", *["/sitemap"] * BURST):
                for port in ports:
                    ask(port, "GET", target)
        a_tick_more(child, log)

    return work


@pytest.fixture
def worse_unit(pair):
    """Every request of the sitemap fails on the canary, and it has the least weight that can be given."""
    return pair([{"route": "GET /pay", "unit": "money", "weight": 0.9}, {"route": "GET /login", "unit": "money", "weight": 0.099},
                 {"route": "GET /sitemap", "unit": "seo", "weight": 0.001}], {"/sitemap": "[0-9]"}, extra=UNITS, load=False)


def test_a_unit_that_alone_would_be_rolled_back_holds_the_release(pair, worse_unit):
    """
    With half of the traffic evidence at most doubles with five failures: ten bursts of five are enough for the unit, in
    which the endpoint is alone (1/alpha is 20), and not for the release, of which it holds a thousandth (20,000).
    """
    code, out = gate_during(worse_unit, bursts_on(pair.ports), "--json")
    doc = json.loads(out)
    sitemap = [e for e in doc["endpoints"] if e["endpoint"] == "GET /sitemap"][0]
    assert (sitemap["bad_c"], sitemap["bad_b"]) == (BURST * BURSTS, 0), doc
    units = {u["unit"]: u for u in doc["units"]}
    assert units["money"]["verdict"] == "hold", doc
    assert units["seo"]["verdict"] == "rollback", doc
    assert doc["verdict"] == "hold" and code == 20 and "unit_worse" in codes(doc), doc
    assert "The unit seo (owner: team-web)" in doc["summary"], doc
    check_summary(doc)


def test_a_unit_that_holds_the_release_is_named_to_people_with_its_owner(pair, worse_unit):
    code, out = gate_during(worse_unit, bursts_on(pair.ports))
    assert code == 20 and out.startswith("hold: The unit seo (owner: team-web)"), out
    assert "unit seo (owner: team-web): rollback: worse than the baseline, most of it on GET /sitemap" in out, out
