# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What counts as an error is what the configuration calls bad. Oracles: nginx's access log, what the clients of these
tests did, and the clock they did it by; which of it is bad is listed by hand.
"""
import json
import threading
import time

import pytest

from tw import servers
from tw.client import Client, ask, request
from tw.faults import Faulty
from tw.load import LASTING, Wrk
from tw.watch import config_text, run

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

STATUSES = """
location /gone { return 404; }
location /busy { return 429; }
location /down { return 503; }
location /odd { return 520; }
location /moved { return 302 /; }
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
PATHS = {"/gone": 404, "/busy": 429, "/down": 503, "/odd": 520, "/moved": 302, "/": 200}


def errors(document):
    return {e["endpoint"]: e["arms"]["baseline"]["errors"] for e in document["endpoints"]}


def entry(path, bad=None):
    return {"route": f"GET {path}", **({"bad": bad} if bad else {})}


def test_the_statuses_that_count_are_the_endpoints_or_the_gates(nginx, watching):
    server = nginx(server=STATUSES)
    w = watching(server.port, gate={"bad": "{ statuses: [5xx, 429] }"},
                 endpoints=[entry("/gone", {"statuses": [404]}), entry("/busy"), entry("/down", {"statuses": [404]}),
                            entry("/odd"), entry("/moved", {"statuses": ["3xx"]}), entry("/")])
    with Client(server.port) as c:
        for n, path in enumerate(PATHS, 1):
            for _ in range(n):
                assert c.ask("GET", path).status == PATHS[path]
    # One that no entry names: the gate's.
    assert ask(server.port, "GET", "/boom/else").status == 503
    d = w.stop()
    logged = server.exchanges(22)
    assert {p: sum(uri == p for _, uri, _ in logged) for p in PATHS} == {p: n for n, p in enumerate(PATHS, 1)}
    assert errors(d) == {"GET /gone": 1, "GET /busy": 2, "GET /down": 0, "GET /odd": 4, "GET /moved": 5, "GET /": 0,
                         "GET /boom/else": 1}


def test_a_status_that_means_nothing_is_bad_as_a_500_would_be(tmp_path, started, watching):
    """RFC 9110, 15: below 100 and above 599 it is invalid, and the answer to be processed as if it had a 5xx."""
    server = started(Faulty(tmp_path))
    statuses = ["000", "000", "042", "099", "600", "999", "200", "500"]
    w = watching(server.port, endpoints=[entry("/told"), entry("/untold", {"statuses": [404]})])
    for path in ("/told", "/untold", "/new"):
        with Client(server.port) as c:
            for status in statuses:
                # A garbage status is the answer, not one that another follows: the connection stays in step.
                c.send(request("GET", path, headers=["Answer: length 10", "Script: rest", f"Status: {status}"]))
                assert c.answer().status == int(status)
    d = w.stop()
    assert d.outcomes() == {"answered": 3 * len(statuses)}
    assert d["coverage"]["desynchronised"] == 0
    for path in ("/told", "/untold", "/new"):
        assert d.figures(f"GET {path}")["status"] == {s: statuses.count(s) for s in statuses}
    assert errors(d) == {"GET /told": 7, "GET /untold": 0, "GET /new": 7}


def test_slower_than_the_limit_is_an_error_whatever_the_status(tmp_path, started, watching):
    server = started(servers.app(tmp_path))
    limited = {"slower_than": "250ms"}
    w = watching(server.port, endpoints=[entry("/sleep/{ms}", limited), entry("/stream/{ms}/{n}")],
                 gate={"bad": "{ slower_than: 400ms }"})
    with Client(server.port) as c:
        for ms in (0, 200, 300, 350):
            assert c.ask("GET", f"/sleep/{ms}").status == 200
        # Begun at once, and long in the sending.
        for ms in (300, 500):
            assert c.ask("GET", f"/stream/{ms}/5").status == 200
    # Gone while they waited: not the server's fault by their outcome, but one had waited too long.
    for wait in (0.1, 0.4):
        with Client(server.port) as c:
            c.send(request("GET", "/sleep/600"))
            time.sleep(wait)
            c.reset()
    d = w.stop()
    assert d.outcomes() == {"answered": 6, "reset_by_client": 2}
    assert d.by_status() == {200: 6}
    assert errors(d)["GET /sleep/{ms}"] == 3 and errors(d)["GET /stream/{ms}/{n}"] == 1


def test_clients_that_leave_count_where_the_config_says_so(raw_server, watching):
    def handler(c):
        """Answers what its client waits for, and closes when that is gone."""
        while (head := c.request()):
            if "stays" in head[1]:
                c.send(OK)
            else:
                c.read_until_close()

    server = raw_server(handler)
    w = watching(server.port, endpoints=[entry("/told/{what}", {"outcomes": ["client_abandoned", "reset_by_client"]}),
                                         entry("/untold/{what}")])
    for path in ("/told", "/untold"):
        with Client(server.port) as c:
            c.send(request("GET", f"{path}/leaves"))
        with Client(server.port) as c:
            c.send(request("GET", f"{path}/resets"))
            time.sleep(0.05)
            c.reset()
        assert ask(server.port, "GET", f"{path}/stays").status == 200
    d = w.stop()
    assert d.outcomes() == {"answered": 2, "client_abandoned": 2, "reset_by_client": 2}
    assert errors(d) == {"GET /told/{what}": 2, "GET /untold/{what}": 0}


def test_what_hangs_is_an_error_as_soon_as_it_is_certain_to_be_one(raw_server, started, watching):
    """The server answers 200 when it is let; an answer is due after one second."""
    rules = {"/plain": None, "/patient": {"outcomes": ["truncated"]},
             "/strict": {"outcomes": ["truncated"], "slower_than": "500ms"},
             "/lenient": {"outcomes": ["truncated"], "slower_than": "100s"}}
    released = threading.Event()

    def handler(c):
        c.request()
        released.wait(30)
        c.send(OK)

    server = raw_server(handler)
    observers = [watching(server.port, gate={"timeout": "1s"}, endpoints=[entry(p, bad) for p, bad in rules.items()])
                 for _ in range(2)]
    clients = [started(Client(server.port)) for _ in rules]
    for c, path in zip(clients, rules):
        c.send(request("GET", path))
    time.sleep(1.2)
    bad = {"GET /plain": 1, "GET /patient": 0, "GET /strict": 1, "GET /lenient": 0}
    d = observers[0].stop(idle=True)
    assert d.outcomes() == {"timeout": 4} and d.by_status() == {} and errors(d) == bad
    released.set()
    for c in clients:
        assert c.answer().status == 200
        c.close()
    d = observers[1].stop()
    assert d.outcomes() == {"timeout": 4} and d.by_status() == {200: 4} and errors(d) == bad


GATE = {"alpha": 0.05, "max_error_ratio": 2, "max_latency_increase": "50%", "min_requests": 200, "warmup": "0s",
        "tick": "500ms"}


@pytest.mark.parametrize("bad", [None, "{ statuses: [5xx, 429] }"])
def test_the_verdict_follows_the_config_on_what_is_bad(tmp_path, started, bad):
    """A canary that turns away one in five with a 429: nothing is wrong with that, unless the config says so."""
    apps = [started(servers.app(tmp_path, n, options=["--delay-ms", 4, "--seed", i, *options]))
            for i, (n, options) in enumerate((("stable", ()), ("fresh", ("--error-rate", 0.2, "--error-status", 429))))]
    config = tmp_path / "gate.yaml"
    config.write_text(config_text(
        {"v1": ("baseline", {"listen": str(apps[0].port)}), "v2": ("canary", {"listen": str(apps[1].port)})},
        [{"route": "GET /checkout", "critical": True}], dict(GATE, **({"bad": bad} if bad else {}))))
    for i, a in enumerate(apps):
        started(Wrk(tmp_path, a.port, ("/checkout",), 6, LASTING, f"wrk{i}"))
    r = run("gate", "-c", config, "--for", "6s", "--json")
    figures = json.loads(r.out)["endpoints"][0]
    assert figures["n_c"] > 1000 and figures["bad_b"] == 0
    if bad:
        assert r.code == 10, r
        assert 0.15 < figures["bad_c"] / figures["n_c"] < 0.25
    else:
        assert r.code != 10, r
        assert figures["bad_c"] == 0
