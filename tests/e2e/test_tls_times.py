# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The times of exchanges over TLS: those of the socket, from the ciphertext's arrival to its departure. Most are scenes
(tw/stage.py).
"""
import os
import random
import signal
import time

import pytest

from tw import servers, tls, tls_servers
from tw.client import Client, request
from tw.faults import HEAD, Case, Dialogue, Faulty
from tw.oracle import BUCKET, MS, assert_counts, assert_quantiles, near
from tw.parallel import in_parallel
from tw.proc import children, state
from tw.stage import Scenes, Stage
from tw.wait import pause, until

pytestmark = pytest.mark.alone

scene = Scenes()


def figures(d, endpoint, arm):
    """What is asked of one endpoint's latency: figures(d, …)("queue")["max"]."""
    return lambda kind="total": d.latency(endpoint, kind, arm)


class Servers(Stage):
    """The servers of the scenes: an asyncio shop, the fault bench's server, nginx in front of a plain shop."""

    def __init__(self, tmp, certificate):
        self.app = tls_servers.python_asyncio(tmp, certificate)
        self.faulty = Faulty(tmp, tls=certificate)
        self.plain = servers.app(tmp, "plain")
        self.nginx = tls_servers.nginx(tmp, certificate, self.plain)
        self.nginx.file("big", b"x" * (8 << 20))
        super().__init__(tmp, (self.app, self.faulty, self.nginx), behind=[self.plain], endpoints=["GET /drained"])


@pytest.fixture(scope="module")
def played(tmp_path_factory, certificate):
    with Servers(tmp_path_factory.mktemp("times"), certificate).played(scene) as stage:
        yield stage


@scene
def total_agrees_with_the_request_time_of_nginx(s):
    """nginx's clock has a resolution of 1 ms; at 60 to 250 ms that is less than a bucket."""
    chance = random.Random(11)
    delays = [[chance.randrange(60, 250) for _ in range(12)] for _ in range(10)]

    def client(i):
        with Client(s.nginx.port, tls=True) as c:
            for ms in delays[i]:
                c.ask("GET", f"/app/sleep/{ms}/x")

    in_parallel(10, client)
    times = [line.seconds for line in s.nginx.log(120) if line.uri.startswith("/app/sleep/")]

    def check(d):
        latency = d.latency("GET /app/sleep/{id}/x", arm="other")
        assert latency["count"] == len(times) == 120
        assert_quantiles(latency, times, resolution=MS)
        near(latency["mean"], sum(times) / len(times), MS + 0.0005)

    return check


@scene
def total_agrees_with_the_clock_of_the_client(s):
    """Sub-millisecond answers: the client's time is longer by its own two trips through the stack, never shorter."""
    with Client(s.app.port, tls=True) as c:
        times = [c.ask("GET", "/clock").seconds for _ in range(300)]

    def check(d):
        of, mean = figures(d, "GET /clock", "baseline"), sum(times) / len(times)
        assert of()["max"] <= max(times)
        assert mean - 0.0005 <= of()["mean"] <= mean
        assert of()["p50"] <= sorted(times)[150] * BUCKET
        assert of("queue")["count"] == of("service")["count"] == 300

    return check


@scene
def a_body_that_streams_for_a_second_has_a_long_total_and_a_short_first_byte(s):
    with Client(s.app.port, tls=True) as c:
        got = c.ask("GET", "/stream/1000/20")

    def check(d):
        of = figures(d, "GET /stream/{id}/{id}", "baseline")
        near(of()["max"], got.seconds, 0.01)
        near(of("first_byte")["max"], got.first_byte, 0.01)
        assert of()["max"] >= 0.9 and of("first_byte")["max"] < 0.05

    return check


@scene
def an_upload_that_trickles_in_counts_from_its_first_byte(s):
    with Client(s.app.port, tls=True) as c:
        c.send(request("POST", "/trickle", headers=["Content-Length: 10"]))
        for _ in range(5):
            pause(0.08)
            c.sock.sendall(b"xx")
        got = c.answer()

    def check(d):
        of = figures(d, "POST /trickle", "baseline")
        near(of()["max"], got.seconds, 0.01)
        assert of()["max"] >= 0.39
        near(of("upload")["max"], 0.4, 0.03)
        assert of("server")["max"] < 0.05, "a slow upload is not a slow server"

    return check


def cut_record(name, first):
    """A record that comes in two parts, 0.3 s apart: no plaintext is there before its last byte."""

    def play(s):
        with Client(s.app.port, tls=True) as c:
            c.ask("GET", f"/before/{name}")
            data = c.sock.encrypted(request("GET", f"/cut/{name}"))
            c.started = time.monotonic()
            c.sock.sock.sendall(data[:first])
            pause(0.3)
            c.sock.sock.sendall(data[first:])
            got = c.answer()

        def check(d):
            of = figures(d, f"GET /cut/{name}", "baseline")
            near(of()["max"], got.seconds, 0.01)
            assert of()["max"] >= 0.29
            assert of("server")["max"] < 0.05, "the client was slow"
            assert d.latency(f"GET /before/{name}")["max"] < 0.05

        return check

    play.__name__ = f"a_record_that_is_cut_{name}_counts_from_its_first_byte"
    return scene(play)


for where, at in (("after_one_byte", 1), ("after_its_header", 5), ("in_its_first_block", 6), ("in_its_body", 40)):
    cut_record(where, at)


@scene
def waiting_for_a_busy_loop_is_queue_and_its_work_is_service(s):
    """Two connections, both shaken hands with; the second's ciphertext comes while the loop serves the first."""
    with Client(s.app.port, tls=True) as a, Client(s.app.port, tls=True) as b:
        a.ask("GET", "/ready")
        b.ask("GET", "/ready")
        a.send(request("GET", "/block/500/first"))
        pause(0.1)
        b.send(request("GET", "/block/200/second"))
        first, second = a.answer(), b.answer()

    def check(d):
        for name, queue, service, got in (("first", 0.0, 0.5, first), ("second", 0.4, 0.2, second)):
            of = figures(d, f"GET /block/{{id}}/{name}", "baseline")
            near(of("queue")["max"], queue, 0.03)
            near(of("service")["max"], service, 0.03)
            near(of()["max"], got.seconds, 0.01)
            near(of("queue")["mean"] + of("service")["mean"], of("first_byte")["mean"], MS)

    return check


@scene
def a_request_that_comes_while_the_server_is_stopped_has_waited(s):
    (worker,) = children(s.nginx.pid)
    with Client(s.nginx.port, tls=True) as c:
        c.ask("GET", "/ok")
        os.kill(worker, signal.SIGSTOP)
        until(lambda: state(worker) == "T", "the worker to be stopped")
        c.send(request("GET", "/waited"))
        pause(0.4)
        os.kill(worker, signal.SIGCONT)
        got = c.answer()

    def check(d):
        of = figures(d, "GET /waited", "other")
        near(of("queue")["max"], 0.4, 0.02)
        assert of("service")["max"] < 0.05
        near(of()["max"], got.seconds, 0.01)

    return check


@scene
def two_slow_requests_on_an_event_loop_do_not_share_their_time(s):
    def client(i):
        with Client(s.app.port, tls=True) as c:
            c.ask("GET", f"/sleep/{200 + 200 * i}/{'ab'[i]}")

    in_parallel(2, client)

    def check(d):
        near(d.latency("GET /sleep/{id}/a")["max"], 0.2, 0.03)
        near(d.latency("GET /sleep/{id}/b")["max"], 0.4, 0.03)

    return check


@scene
def the_handshake_and_the_time_between_requests_are_nobodys(s):
    for version in ("1.2", "1.3"):
        with Client(s.app.port, tls=tls.context(version)) as c:
            for _ in range(3):
                pause(0.1)
                c.ask("GET", "/unhurried")

    def check(d):
        latency = d.latency("GET /unhurried")
        assert latency["count"] == 6 and latency["max"] < 0.05

    return check


@scene
def a_request_that_comes_with_the_end_of_the_handshake_counts_from_there(s):
    """TLS 1.3: Finished and the request in one segment, a while after the server's flight."""
    for _ in range(5):
        with Client(s.app.port, tls=tls.context("1.3"), together=True) as c:
            pause(0.1)
            assert c.ask("GET", "/together").status == 200

    def check(d):
        latency = d.latency("GET /together")
        assert latency["count"] == 5 and latency["max"] < 0.05

    return check


@scene
def a_pipelined_request_counts_from_its_own_arrival(s):
    """Two records in one segment; the answers come 0.3 s and 0.6 s later."""
    slow = [Case(name, "wait 300; rest", "answered 200") for name in ("one", "two")]
    with Client(s.faulty.port, tls=True) as c:
        c.sock.sendall(*(case.requests()[0] for case in slow))
        assert [c.answer().status for _ in slow] == [200, 200]

    def check(d):
        near(d.latency("GET /one", arm="canary")["max"], 0.3, 0.03)
        near(d.latency("GET /two", arm="canary")["max"], 0.6, 0.03)

    return check


@scene
def an_answer_in_pieces_begins_with_its_first_record_and_ends_with_its_last(s):
    case = Case("pieces", "wait 100; send head; wait 200; send head+500; wait 200; rest", "answered 200")
    dialogue = Dialogue(case, s.faulty.port, tls=tls.context())
    dialogue.send()
    dialogue.drain()
    dialogue.leave()
    assert len(dialogue.got) == HEAD + 1000

    def check(d):
        near(d.latency("GET /pieces", "first_byte", "canary")["max"], 0.1, 0.02)
        near(d.latency("GET /pieces", arm="canary")["max"], 0.5, 0.03)

    return check


@scene
def the_time_until_a_client_takes_a_large_answer_is_total_not_first_byte(s):
    with Client(s.nginx.port, receive_buffer=65536, tls=True) as c:
        c.send(request("GET", "/files/big"))
        pause(0.5)
        got = c.answer()

    def check(d):
        of = figures(d, "GET /files/big", "other")
        assert of("first_byte")["max"] < 0.1
        assert 0.49 <= of()["max"] <= got.seconds
        near(of("send")["max"], of()["max"] - of("first_byte")["max"], MS)
        # Windows that are shut for less than a jiffy are not seen.
        assert of("server")["max"] <= of()["max"] - 0.4, "a client that does not read is not a slow server"

    return check


@scene
def draining_is_measured_to_the_acknowledgement(s):
    with Client(s.app.port, tls=True) as c:
        for _ in range(20):
            c.ask("GET", "/drained")

    def check(d):
        of = figures(d, "GET /drained", "baseline")
        assert of("drain")["count"] == of()["count"] == 20
        assert 0 < of("drain")["p50"] < 0.02 and of("drain")["max"] < 0.1

    return check


@pytest.mark.parametrize("play", scene, ids=lambda play: play.__name__)
def test_that(play, played):
    played.check(play)


def test_the_same_server_has_the_same_times_over_tls_and_in_plain(tmp_path, certificate, started, watching_each):
    """Side by side, the same delays: service within 2 ms of each other, queue near nought on both."""
    arms = {"baseline": started(servers.app(tmp_path, "plain")),
            "canary": started(tls_servers.python_asyncio(tmp_path, certificate))}
    w = watching_each(*arms.values())

    def client(i):
        arm = ("baseline", "canary")[i % 2]
        with Client(arms[arm].port, tls=arm == "canary") as c:
            for _ in range(10):
                c.ask("GET", "/sleep/30/x")

    in_parallel(6, client)
    d = w.stop()
    for arm in arms:
        assert_counts(d.counts(arm), {("GET /sleep/{id}/x", 200): 30})
    of = {arm: {kind: d.latency("GET /sleep/{id}/x", kind, arm)["mean"] for kind in ("total", "queue", "service")}
          for arm in arms}
    for kind in ("total", "queue", "service"):
        near(of["canary"][kind], of["baseline"][kind], 2 * MS)
