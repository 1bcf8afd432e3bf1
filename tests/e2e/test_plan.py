# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
How long until a release can be called: from rates that are given, and from what nginx is seen to serve. The oracles are
nginx's log, the clock, and the closed formula worked out in the test.
"""
import json
import math
import os
import re
import shlex
import signal
import subprocess
import time

import pytest

from tw import net, watch
from tw.client import Client
from tw.load import LASTING, Wrk
from tw.proc import open_to_all
from tw.net import await_closed
from tw.proc import Child
from tw.wait import until
from tw.watch import Background, config_text, run

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

CHECKOUT, CART = "POST /checkout", "GET /cart/{id}"


@pytest.fixture
def shop(tmp_path):
    """shop(...) writes a configuration and returns its path."""

    def write(port=8081, canary=9, endpoints=({"route": CHECKOUT, "critical": True}, CART), extra="", **more):
        path = tmp_path / "shop.yaml"
        path.write_text(config_text({"v1": ("baseline", {"listen": str(port)}), "v2": ("canary", {"listen": str(canary)})},
                                    endpoints, extra=extra, **more))
        return path

    return write


def readme():
    with open(os.path.join(watch.HERE, "../../../README.md"), encoding="utf-8") as f:
        return f.read()


def test_the_plan_in_the_readme_is_that_of_the_config_in_the_readme(tmp_path):
    (config,) = re.findall(r"```yaml\n(service: shop\n.*?)```", readme(), re.S)
    (command, printed), = re.findall(r"```\n\$ tillwatch (plan .*?[^\\])\n(.*?)\(…\)\n```", readme(), re.S)
    path = tmp_path / "shop.yaml"
    path.write_text(config)
    args = [path if word == "shop.yaml" else word for word in shlex.split(command.replace("\\\n", " "))]
    r = run(*args)
    assert r.code == 0 and r.out.startswith(printed) and "5% of the traffic to the canary" in printed, r


def document(r):
    assert r.code == 0, r
    doc = json.loads(r.out, parse_constant=lambda name: pytest.fail(f"{name} in the document"))
    assert doc["schema"] == "tillwatch.plan/1"
    for t in times(doc):
        assert (t["seconds"] is None) != (t["never"] is None), t
        assert t["seconds"] is None or t["seconds"] > 0, t
    return doc


def times(node):
    if isinstance(node, dict):
        if "never" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from times(child)


def row(doc, endpoint, share=0):
    return next(e for e in doc["shares"][share]["endpoints"] if e["endpoint"] == endpoint)


def traffic(doc, endpoint):
    return next(e for e in doc["traffic"] if e["endpoint"] == endpoint)


# --- given -----------------------------------------------------------------------------------------------------------


def test_given_rates_are_planned_for_each_stage_of_the_config_without_root_or_traffic(shop):
    path = shop(extra="stages: [5%, 25%, 100%]\n")
    r = run("plan", "-c", path, "--rate", f"{CHECKOUT}=40/s,0.5%", "--rate", f"{CART}=2400/m,0%", "--json", seconds=10)
    doc = document(r)
    assert [s["share"] for s in doc["shares"]] == [0.05, 0.25]
    assert traffic(doc, CART)["requests_per_second"] == 40
    assert doc["source"] == "given" and doc["observed_seconds"] is None
    five, twenty_five = (row(doc, CHECKOUT, k)["certify"]["all"]["seconds"] for k in (0, 1))
    assert five > 2 * twenty_five
    assert row(doc, CART)["detect"]["errors"][0]["never"] == "no_errors"
    assert row(doc, CART)["certify"]["errors"]["by"] == "floor"


def test_detection_takes_hardly_more_than_the_least_that_any_test_needs(shop):
    """Twice 1 % of 100 a second at 5 %: nobody needs less than log(1/alpha) / KL bad events (Wald); parts of the stake
    that are bet on other ratios, and kept for latency, cost some more."""
    path = shop(endpoints=[{"route": CHECKOUT, "critical": True}])
    doc = document(run("plan", "-c", path, "--rate", f"{CHECKOUT}=100/s,1%", "--share", "5%", "--json", seconds=10))
    theta = 2 * 0.05 / 1.05
    kl = theta * math.log(theta / 0.05) + (1 - theta) * math.log((1 - theta) / 0.95)
    least = math.log(20) / kl / (100 * 0.01 * 1.05)
    x2 = row(doc, CHECKOUT)["detect"]["errors"][1]
    assert x2["ratio"] == 2 and least < x2["seconds"] < 1.5 * least, (least, x2)


def test_what_cannot_be_called_in_the_time_given_is_named_with_what_would_help(shop):
    path = shop()
    args = ["plan", "-c", path, "--rate", f"{CHECKOUT}=70/s,0.5%", "--rate", f"{CART}=400/s,0.5%", "--share", "5%"]
    r = run(*args, "--within", "30m", seconds=10)
    assert r.code == 0 and f"{CHECKOUT} not before" in r.out and "% of the traffic" in r.out, r
    doc = document(run(*args, "--within", "30m", "--json", seconds=10))
    checkout = row(doc, CHECKOUT)
    assert checkout["in_time"] is False and doc["shares"][0]["in_time"] is False
    assert row(doc, CART)["in_time"] is True and row(doc, CART)["would_do"] is None

    # Each of the advices by itself is enough.
    share = f"{round(100 * checkout['would_do']['share'])}%"
    helped = document(run(*args[:-1], share, "--within", "30m", "--json", seconds=10))
    assert helped["shares"][0]["in_time"] is True
    path = shop(gate={"max_error_ratio": checkout["would_do"]["max_error_ratio"]})
    assert document(run(*args, "--within", "30m", "--json", seconds=10))["shares"][0]["in_time"] is True

    r = run(*args, "--within", "24h", seconds=10)
    assert r.code == 0 and "1 of the 1 endpoints that decide" in r.out, r


def test_an_endpoint_without_a_rate_is_not_planned_and_said_so(shop):
    path = shop()
    r = run("plan", "-c", path, "--rate", f"{CART}=40/s,0.5%", seconds=10)
    assert r.code == 0 and f"{CHECKOUT} cannot be told: its rate was not given" in r.out, r
    doc = document(run("plan", "-c", path, "--rate", f"{CART}=40/s,0.5%", "--json", seconds=10))
    assert doc["shares"][0]["call"]["never"] == "not_known"
    assert traffic(doc, CHECKOUT)["requests_per_second"] is None


@pytest.mark.parametrize("args, words", [
    ([], ["--rate", "--observe"]),
    (["--rate", "POST /checkout=40/s,1%", "--observe", "1s"], ["one of them"]),
    (["--rate", "POST /chekout=40/s,1%"], ["POST /chekout", "POST /checkout"]),
    (["--rate", "POST /checkout=40,1%"], ["40/s"]),
    (["--rate", "POST /checkout=40/s,1"], ["percentage"]),
    (["--rate", "POST /checkout=0/s,1%"], ["rate of 0"]),
    (["--rate", "POST /checkout=4/s,1%", "--rate", "POST /checkout=4/s,1%"], ["already"]),
    (["--rate", "POST /checkout=4/s,1%", "--share", "0%"], ["0%"]),
    (["--rate", "POST /checkout=4/s,1%", "--share", "100%"], ["100%"]),
    (["--rate", "POST /checkout=4/s,1%", "--share", "5"], ["5%"]),
    (["--rate", "POST /checkout=4/s,1%", "--share", "5%,5%"], ["rise"]),
    (["--rate", "POST /checkout=4/s,1%", "--within", "30"], ["--within", "30s"]),
    (["--rate", "POST /checkout=4/s,1%", "--within", "0s"], ["--within"]),
    (["--observe", "0s"], ["--observe"]),
    (["--observe", "soon"], ["--observe", "soon"]),
    (["--rate"], ["--rate"]),
], ids=lambda v: " ".join(v) if isinstance(v, list) else v)
def test_wrong_usage_exits_with_2_and_a_way_out(shop, args, words):
    r = run("plan", "-c", shop(), *args, seconds=10)
    assert r.code == 2 and r.out == "", r
    for word in words:
        assert word in r.err, r


def test_a_config_error_is_wrong_usage_and_names_the_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("service: shop\nversons: {}\n")
    r = run("plan", "-c", path, "--rate", "POST /x=1/s,1%", seconds=10)
    assert r.code == 2 and f"{path}:2:" in r.err and r.out == "", r


def test_only_margins_that_differ_are_said_to(shop):
    rate = ("--share", "5%", "--rate", f"{CHECKOUT}=40/s,0.5%")
    assert "where nothing else is said" not in run("plan", "-c", shop(), *rate).out
    own = shop(endpoints=({"route": CHECKOUT, "critical": True, "max_error_ratio": 1.2}, CART))
    assert "where nothing else is said" in run("plan", "-c", own, *rate).out


def test_margins_of_an_endpoint_and_the_deadline_of_the_gate_are_planned_with(shop):
    endpoints = [{"route": CHECKOUT, "critical": True}, {"route": CART, "critical": True, "max_error_ratio": 4}]
    path = shop(endpoints=endpoints, gate={"deadline": "20m"})
    rates = ["--rate", f"{CHECKOUT}=100/s,0.5%", "--rate", f"{CART}=100/s,0.5%", "--share", "5%"]
    doc = document(run("plan", "-c", path, *rates, "--json", seconds=10))
    assert doc["within"] == 1200
    assert (traffic(doc, CHECKOUT)["max_error_ratio"], traffic(doc, CART)["max_error_ratio"]) == (1.5, 4)
    checkout, cart = (row(doc, e)["certify"]["errors"]["seconds"] for e in (CHECKOUT, CART))
    assert cart < checkout / 3, (cart, checkout)
    assert row(doc, CART)["in_time"] and not row(doc, CHECKOUT)["in_time"]
    r = run("plan", "-c", path, *rates, seconds=10)
    assert f"Margins of their own (errors, latency): {CART} (x4, 19%)." in r.out, r


@pytest.mark.parametrize("mode", ["absolute", "before_after"])
def test_without_a_canary_beside_its_baseline_there_is_nothing_to_plan(shop, mode):
    path = shop(endpoints=[{"route": CHECKOUT, "critical": True, "slo": {"error_rate": "1%"}}], gate={"mode": mode})
    r = run("plan", "-c", path, "--rate", f"{CHECKOUT}=40/s,0.5%", seconds=10)
    assert r.code == 2 and "mode: canary" in r.err and r.out == "", r


def test_observing_needs_a_baseline(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(config_text({"v2": ("canary", {"listen": "8082"})}))
    r = run("plan", "-c", path, "--observe", "1s", seconds=10)
    assert r.code == 2 and "baseline" in r.err, r


def test_output_that_cannot_be_written_is_a_failure(shop):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([watch.TILLWATCH, "plan", "-c", shop(), "--rate", f"{CHECKOUT}=4/s,1%"], stdout=full,
                              stderr=subprocess.PIPE, timeout=10, check=False)
    assert done.returncode == 1 and b"standard output" in done.stderr, done


# --- observed --------------------------------------------------------------------------------------------------------


@pytest.fixture
def observed(tmp_path, started):
    """observed(config, work): the document of a plan that observes while work() makes its traffic, and no longer."""

    def observe(path, work, *ports):
        with open(tmp_path / "plan.out", "wb") as out:
            child = started(Child([watch.TILLWATCH, "plan", "-c", path, "--observe", "1h", "--share", "5%", "--json"],
                                  tmp_path / "plan.err", stdout=out))
            until(lambda: "tillwatch: observing " in child.log_text(), child.log_text, watch.ATTACH_SECONDS)
            start = time.monotonic()
            work()
            for port in ports:
                await_closed(port)
            code = child.stop(signal.SIGINT)
            seconds = time.monotonic() - start
        doc = document(watch.Result(code, (tmp_path / "plan.out").read_text(), child.log_path, seconds))
        # The observation began before the clock was started, and ended before it was stopped.
        assert doc["source"] == "observed" and 0 < doc["observed_seconds"] < seconds + 1
        return doc

    return observe


def ask_for(port, targets):
    with Client(port) as c:
        for target in targets:
            c.ask("GET", target)


def test_what_nginx_served_is_what_is_planned_with(nginx, shop, observed):
    """To the last request: all of them are made while the tool is attached, 1 in 20 fails."""
    server = nginx()
    path = shop(server.port, endpoints=[{"route": "GET /{page}", "critical": True}, CART])
    doc = observed(path, lambda: ask_for(server.port, ["/boom" if k % 20 == 7 else "/ok" for k in range(400)]), server.port)
    served = [status for _, _, status in server.exchanges(400)]
    seen = traffic(doc, "GET /{page}")
    assert seen["baseline_requests"] == len(served) == 400
    assert seen["baseline_errors"] == served.count(503) == 20
    assert seen["error_share"] == 0.05 and seen["latency"] == "observed" and seen["decides"]
    assert math.isclose(seen["requests_per_second"], 400 / doc["observed_seconds"], rel_tol=1e-9)
    assert row(doc, "GET /{page}")["certify"]["all"]["seconds"] > 0
    assert row(doc, CART)["certify"]["all"]["never"] == "no_traffic"

    # The same rates, given, take the same time as far as errors are concerned.
    given = f"GET /{{page}}={seen['requests_per_second']:.9f}/s,5%"
    again = document(run("plan", "-c", path, "--rate", given, "--share", "5%", "--json", seconds=10))
    assert row(again, "GET /{page}")["detect"]["errors"] == row(doc, "GET /{page}")["detect"]["errors"]
    assert row(again, "GET /{page}")["certify"]["errors"] == row(doc, "GET /{page}")["certify"]["errors"]


def test_a_canary_adds_to_the_traffic_but_its_errors_are_not_the_baselines(nginx, shop, observed):
    old, new = nginx(name="old"), nginx(name="new")
    path = shop(old.port, new.port, endpoints=[{"route": "GET /{page}", "critical": True}])

    def work():
        ask_for(old.port, ["/ok"] * 99 + ["/boom"])
        ask_for(new.port, ["/boom"] * 60)

    doc = observed(path, work, old.port, new.port)
    seen = traffic(doc, "GET /{page}")
    assert (seen["baseline_requests"], seen["baseline_errors"]) == (100, 1)
    assert seen["error_share"] == 0.01
    assert math.isclose(seen["requests_per_second"], 160 / doc["observed_seconds"], rel_tol=1e-9)


def test_under_load_the_rate_is_that_of_the_access_log(nginx, shop, tmp_path, started):
    server = nginx()
    path = shop(server.port, endpoints=[{"route": "GET /ok", "critical": True}])
    started(Wrk(tmp_path, server.port, ("/ok",), 4, LASTING, pause=10))
    doc = document(run("plan", "-c", path, "--observe", "4s", "--share", "5%,50%", "--json"))
    stamps = [line.time for line in server.log(100)]
    rate = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    seen = traffic(doc, "GET /ok")
    assert 0.8 * rate < seen["requests_per_second"] < 1.25 * rate, (rate, seen)
    assert 3.9 < doc["observed_seconds"] < 5
    assert [s["call"]["never"] for s in doc["shares"]] == [None, None], doc["shares"]


def test_endpoints_that_nobody_named_are_planned_too(nginx, shop):
    server = nginx()
    path = shop(server.port, endpoints=())
    plan = Background("plan", "-c", path, "--observe", "3s")
    while plan.running():
        with Client(server.port) as c:
            for _ in range(20):
                c.ask("GET", "/orders/17")
    r = plan.result()
    assert r.code == 0 and "* GET /orders/{id}" in r.out and "observed for" in r.out, r
    assert "Fewer than 10 errors were seen on: GET /orders/{id}" in r.out, r
    assert "\x1b" not in r.out


def test_without_traffic_nothing_can_be_called_and_that_is_said(shop):
    path = shop(net.free_port())
    r = run("plan", "-c", path, "--observe", "1s")
    assert r.code == 0 and "can never be called" in r.out and "no request reached the baseline" in r.out + r.err, r
    assert "no request reached the baseline in 1 s" in r.err, r


def test_observing_without_privileges_fails_and_says_why(shop):
    path = shop()
    reachable = subprocess.run([watch.TILLWATCH, "--version"], user=65534, group=65534, capture_output=True, check=False)
    if reachable.returncode:
        pytest.skip("an unprivileged user cannot run the binary where it lies")
    open_to_all(path)
    done = subprocess.run([watch.TILLWATCH, "plan", "-c", path, "--observe", "1s"], user=65534, group=65534,
                          extra_groups=[], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and done.stderr, done
