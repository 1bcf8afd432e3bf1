# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What must hold before a verdict means anything, with real servers that break it: a build that is exchanged in place, a
router that does not deal as the stage says, a canary that goes, an observer that is stopped. Beside each the same
without the fault.
"""
import json
import os
import signal
import time

import pytest

from test_handover import hold, upgradable  # noqa: F401 (fixtures)
from tw import servers, watch
from tw.load import LASTING, Wrk
from tw.proc import Child
from tw.wait import until
from tw.watch import config_text

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

GATE = {"alpha": 0.05, "max_error_ratio": 2, "max_latency_increase": "100%", "min_requests": 100, "warmup": "0s",
        "tick": "500ms"}


class Gate:
    """`tillwatch gate --json` under way; document() waits for its end."""

    def __init__(self, tmp, versions, span, *args, endpoint="GET /checkout"):
        config = tmp / "gate.yaml"
        config.write_text(config_text(versions, [{"route": endpoint, "critical": True}], GATE))
        self.path = tmp / "gate.out"
        self.out = open(self.path, "wb")
        self.child = Child([watch.TILLWATCH, "gate", "-c", config, "--for", span, "--json", *args], tmp / "gate.err",
                           stdout=self.out)
        until(lambda: "tillwatch: watching " in self.child.log_text(), self.child.log_text, watch.ATTACH_SECONDS)

    def document(self):
        code = self.child.proc.wait(60)
        doc = json.loads(self.path.read_text())
        assert code == {"promote": 0, "rollback": 10, "hold": 20, "invalid": 30}[doc["verdict"]]
        return doc

    def discard(self):
        if self.child.alive():
            self.child.stop(signal.SIGKILL)
        self.out.close()


def guard(doc, name):
    return next(g for g in doc["guards"] if g["name"] == name)


def failed(doc):
    return {g["name"] for g in doc["guards"] if not g["ok"]}


@pytest.fixture
def pair(tmp_path, started):
    """Two instances of the shop: the port of each."""
    return [started(servers.app(tmp_path, n, options=["--delay-ms", 2])) for n in ("stable", "fresh")]


def arms(stable, fresh):
    return {"v1": ("baseline", {"listen": str(stable)}), "v2": ("canary", {"listen": str(fresh)})}


# --- purity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_version_whose_program_is_exchanged_in_place_is_not_one_version(upgradable, tmp_path, started, pair, exchanged):  # noqa: F811
    """nginx replaces itself by another build on the same socket, or, as a control, its workers by others of the same."""
    nginx = upgradable()
    if exchanged:
        old, new = nginx.exchange_program()
        assert old != new
    gate = started(Gate(tmp_path, arms(nginx.port, pair[1].port), "10s"))
    for i, port in enumerate((nginx.port, pair[1].port)):
        # Connections are made anew all the time, so the new workers get some.
        started(Wrk(tmp_path, port, ("/checkout",), 4, LASTING, f"wrk{i}", pause=5))
    time.sleep(2)
    if exchanged:
        nginx.upgrade()
        os.kill(nginx.master, signal.SIGQUIT)
    else:
        nginx.reload()
    doc = gate.document()
    purity = guard(doc, "version_purity")
    assert purity["ok"] is not exchanged, doc["guards"]
    if exchanged:
        assert doc["verdict"] == "invalid" and "baseline" in purity["text"], doc
    else:
        assert "one build" in purity["text"], purity


# --- the split ----------------------------------------------------------------------------------------------------

SPLIT = """
    split_clients "$request_id" $shop {{ {percent}% fresh; * stable; }}
    upstream fresh {{ server 127.0.0.1:{fresh}; keepalive {keep}; }}
    upstream stable {{ server 127.0.0.1:{stable}; keepalive {keep}; }}
"""
PASS = """
        location /checkout { proxy_pass http://$shop; proxy_http_version 1.1; proxy_set_header Connection ""; }
"""


@pytest.mark.parametrize("keep", [1, 16])
@pytest.mark.parametrize("planned, dealt", [("10%", 50), ("50%", 50)])
def test_a_router_that_does_not_deal_as_the_stage_says_keeps_the_promotion_back(nginx, tmp_path, started, pair, planned,
                                                                              dealt, keep):
    front = nginx(name="front", server=PASS,
                  http=SPLIT.format(percent=dealt, fresh=pair[1].port, stable=pair[0].port, keep=keep))
    gate = started(Gate(tmp_path, arms(pair[0].port, pair[1].port), "10s", "--stage", planned))
    started(Wrk(tmp_path, front.port, ("/checkout",), 8, LASTING, pause=5))
    doc = gate.document()
    ratio = guard(doc, "sample_ratio")
    if planned == "50%":
        assert ratio["ok"], doc["guards"]
    else:
        assert not ratio["ok"] and "10 % were planned" in ratio["text"], doc["guards"]
        assert doc["verdict"] == "hold" and "sample_ratio" in {r["code"] for r in doc["reasons"]}, doc


# --- answers that are no errors, and people who are turned away all the same ---------------------------------------


@pytest.mark.parametrize("status", [200, 302, 404])
def test_a_canary_that_turns_people_away_is_not_promoted(nginx, tmp_path, started, status):
    arm = 'location /checkout {{ return {} "/elsewhere"; }}'
    both = [nginx(name="stable", server=arm.format(200)), nginx(name="fresh", server=arm.format(status))]
    gate = started(Gate(tmp_path, arms(both[0].port, both[1].port), "12s"))
    for i, server in enumerate(both):
        started(Wrk(tmp_path, server.port, ("/checkout",), 4, LASTING, f"wrk{i}", pause=5))
    doc = gate.document()
    answers = guard(doc, "answers")
    if status == 200:
        assert answers["ok"] and "answers" not in failed(doc) and doc["verdict"] in ("promote", "hold"), doc
    else:
        assert not answers["ok"] and "GET /checkout: 100 % of the canary's answers" in answers["text"], doc["guards"]
        assert doc["verdict"] == "hold" and "turns more requests away" in doc["summary"], doc


# --- arms that go, and an observer that is stopped ----------------------------------------------------------------


def test_a_canary_that_goes_is_not_promoted(tmp_path, started, pair):
    gate = started(Gate(tmp_path, arms(pair[0].port, pair[1].port), "10s"))
    loads = [started(Wrk(tmp_path, a.port, ("/checkout",), 4, LASTING, f"wrk{i}", pause=5)) for i, a in enumerate(pair)]
    time.sleep(5)
    loads[1].stop()
    pair[1].stop()
    doc = gate.document()
    assert "the canary has gone" in guard(doc, "arm_vanished")["text"], doc["guards"]
    assert not guard(doc, "arm_vanished")["ok"] and doc["verdict"] != "promote", doc


def test_a_canary_that_comes_back_has_not_gone(tmp_path, started, pair):
    gate = started(Gate(tmp_path, arms(pair[0].port, pair[1].port), "10s"))
    for i, a in enumerate(pair):
        started(Wrk(tmp_path, a.port, ("/checkout",), 4, LASTING, f"wrk{i}", pause=5))
    time.sleep(2)
    pair[1].stop()
    time.sleep(1)
    started(servers.app(tmp_path, "again", port=pair[1].port, options=["--delay-ms", 2]))
    doc = gate.document()
    assert guard(doc, "arm_vanished")["ok"], doc["guards"]


def test_an_observer_that_was_stopped_says_so_and_judges_what_was_counted_meanwhile(tmp_path, started, pair):
    gate = started(Gate(tmp_path, arms(pair[0].port, pair[1].port), "10s"))
    for i, a in enumerate(pair):
        started(Wrk(tmp_path, a.port, ("/checkout",), 4, LASTING, f"wrk{i}", pause=5))
    time.sleep(3)
    gate.child.kill(signal.SIGSTOP)
    time.sleep(3)
    gate.child.kill(signal.SIGCONT)
    doc = gate.document()
    clock = guard(doc, "clock")
    assert clock["ok"] and "the observer was stopped" in clock["text"], doc["guards"]
    assert "clock" not in failed(doc) and doc["verdict"] in ("hold", "promote"), doc
    # The kernel went on counting: most of ten seconds at hundreds of requests a second is there.
    assert doc["endpoints"][0]["n_b"] > 1000, doc
