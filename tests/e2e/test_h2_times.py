# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The times of streams: each its own, whatever else goes on on its connection, against the clocks of servers and clients.
Most are scenes (tw/stage.py), each played over plaintext and over TLS.
"""
import random
import time

import pytest

from tw import h2, h2_servers, net, servers
from tw.h2faults import Faulty
from tw.oracle import BUCKET, MS, assert_quantiles, near
from tw.parallel import in_parallel
from tw.stage import Scenes, Stage
from tw.wait import pause

pytestmark = pytest.mark.alone

scene = Scenes()
LATE = 0.03  # a server that reads later than this shows nothing: the machine is too busy


class Servers(Stage):
    """nginx in front of a shop, Node, and the fault bench's server, each one an arm."""

    def __init__(self, tmp, pem):
        self.tls = True if pem else None
        self.app = servers.app(tmp)
        self.nginx = h2_servers.Nginx(tmp, pem, self.app)
        self.node = h2_servers.Node(tmp, pem)
        self.faulty = Faulty(tmp, tls=pem)
        self.nginx.file("big", b"x" * (4 << 20))
        super().__init__(tmp, (self.nginx, self.node, self.faulty), behind=[self.app])

    def connect(self, server, **more):
        c = h2.Client(server.port, tls=self.tls, **more)
        c.settle()
        return c


@pytest.fixture(scope="module", params=[False, True], ids=["plaintext", "tls"])
def played(request, tmp_path_factory, certificate):
    with Servers(tmp_path_factory.mktemp("times"), certificate if request.param else None).played(scene) as stage:
        yield stage


@scene
def total_agrees_with_the_request_time_of_nginx(s):
    """
    Ten streams at once on each connection. nginx's clock has a resolution of 1 ms, and starts when it has read: how long a
    request had lain there is `queue`.
    """
    chance = random.Random(5)
    delays = [[chance.randrange(60, 250) for _ in range(10)] for _ in range(12)]

    def client(i):
        with s.connect(s.nginx) as c:
            c.wait(*[c.ask("GET", f"/app/sleep/{ms}/x") for ms in delays[i]])

    in_parallel(12, client)
    times = [line.seconds for line in s.nginx.log(120) if line.uri.startswith("/app/sleep/")]

    def check(d):
        latency, queue = (d.latency("GET /app/sleep/{id}/x", kind, "baseline") for kind in ("total", "queue"))
        assert latency["count"] == queue["count"] == len(times) == 120
        assert queue["max"] < LATE
        assert_quantiles(latency, times, resolution=MS + queue["max"])
        near(latency["mean"] - queue["mean"], sum(times) / len(times), MS + 0.0005)

    return check


@scene
def total_agrees_with_the_clock_of_node(s):
    """Node's clock starts when its event loop comes to the request, and stops when it has handed over the last byte."""
    with s.connect(s.node) as c:
        c.wait(*[c.ask("GET", f"/sleep/{ms}/node") for ms in range(20, 220, 10)])
    s.node.exchanges(20)
    times = [float(v[3]) for v in s.node.lines() if v[1].endswith("/node")]

    def check(d):
        latency, queue = (d.latency("GET /sleep/{id}/node", kind, "canary") for kind in ("total", "queue"))
        assert latency["count"] == queue["count"] == len(times) == 20
        assert queue["max"] < LATE
        assert_quantiles(latency, times, resolution=3 * MS + queue["max"])

    return check


@scene
def total_agrees_with_the_clock_of_the_client(s):
    """Sub-millisecond answers: the client's time is longer by its own two trips through the stack, never shorter."""
    with s.connect(s.nginx) as c:
        streams = [c.get("/clock") for _ in range(300)]
    times = [x.last - x.asked for x in streams]

    def check(d):
        latency, mean = d.latency("GET /clock", arm="baseline"), sum(times) / len(times)
        assert latency["count"] == 300
        assert latency["max"] <= max(times)
        assert mean - 0.0005 <= latency["mean"] <= mean
        assert latency["p50"] <= sorted(times)[150] * BUCKET

    return check


def ask(c, path, script, answer=1000, **more):
    return c.ask("GET", path, headers=[("answer", str(answer)), ("script", script)], **more)


@scene
def streams_of_one_connection_do_not_share_their_time(s):
    with s.connect(s.faulty) as c:
        c.wait(ask(c, "/own/slow", "wait 400; rest"), ask(c, "/own/middle", "wait 200; rest"), ask(c, "/own/quick", "rest"))

    def check(d):
        for name, seconds in (("slow", 0.4), ("middle", 0.2), ("quick", 0)):
            near(d.latency(f"GET /own/{name}", arm="other")["max"], seconds, 0.03)

    return check


@scene
def a_body_that_comes_late_has_a_long_total_and_a_short_first_byte(s):
    with s.connect(s.faulty) as c:
        c.wait(ask(c, "/late_body", "send 10; wait 300; rest"))

    def check(d):
        near(d.latency("GET /late_body", arm="other")["max"], 0.3, 0.03)
        assert d.latency("GET /late_body", "first_byte", "other")["max"] < 0.05

    return check


@scene
def an_interim_answer_is_not_the_first_byte(s):
    with s.connect(s.faulty) as c:
        c.wait(ask(c, "/hinted", "hints; wait 300; rest"))

    def check(d):
        near(d.latency("GET /hinted", "first_byte", "other")["max"], 0.3, 0.03)

    return check


@scene
def trailers_are_the_last_byte(s):
    with s.connect(s.faulty) as c:
        c.wait(ask(c, "/trailing", "send 1000; wait 200; trailers"))

    def check(d):
        near(d.latency("GET /trailing", arm="other")["max"], 0.2, 0.03)

    return check


@scene
def time_between_the_streams_of_a_connection_is_nobodys(s):
    with s.connect(s.faulty) as c:
        for _ in range(3):
            c.wait(ask(c, "/between", "rest"))
            pause(0.2)

    def check(d):
        assert d.latency("GET /between", arm="other")["max"] < 0.05

    return check


@scene
def the_time_in_which_a_client_gives_no_window_is_total_not_first_byte(s):
    with s.connect(s.nginx, window=65535) as c:
        x = c.ask("GET", "/files/big")
        c.until(lambda: len(x.body) >= 65535)
        pause(0.3)
        c.send(h2.window_frame(0, h2.LARGEST - 65535), h2.window_frame(x.number, h2.LARGEST - 65535))
        c.wait(x)
    seconds = x.last - x.asked

    def check(d):
        assert d.latency("GET /files/big", "first_byte", "baseline")["max"] < 0.1
        assert 0.29 <= d.latency("GET /files/big", arm="baseline")["max"] <= seconds

    return check


@scene
def a_request_whose_body_comes_slowly_is_timed_from_its_first_byte(s):
    with s.connect(s.faulty) as c:
        x = ask(c, "/uploaded", "body; rest", end=False)
        for i in range(3):
            pause(0.1)
            c.send(h2.data_frame(x.number, b"y" * 100, end=i == 2))
        c.wait(x)

    def check(d):
        near(d.latency("GET /uploaded", arm="other")["max"], 0.3, 0.03)
        near(d.latency("GET /uploaded", "first_byte", "other")["max"], 0.3, 0.03)

    return check


@scene
def a_header_block_whose_end_is_late_is_timed_from_its_first_byte(s):
    with s.connect(s.faulty) as c:
        x = c.new_stream()
        whole = h2.header_frames(x.number, c.request_head("GET", "/in_parts", [("answer", "10"), ("script", "rest")]), end=True,
                                 parts=3)
        for piece in (whole[:4], whole[4:30], whole[30:]):
            c.send(piece)
            pause(0.1)
        c.wait(x)

    def check(d):
        near(d.latency("GET /in_parts", arm="other")["max"], 0.2, 0.05)

    return check


@pytest.mark.parametrize("play", scene, ids=lambda play: play.__name__)
def test_times(played, play):
    played.check(play)


def test_what_waits_for_the_application_to_read_is_queue_and_its_work_is_service(raw_server, watching):
    def handler(c):
        pause(0.3)  # nobody reads
        peer = h2.Peer(c.sock, False)
        peer.expect_magic()
        peer.preface()
        while not (s := peer.streams.get(1)) or not s.ended:
            assert peer.receive()
        pause(0.2)
        peer.answer(1)
        while peer.receive():
            pass

    server = raw_server(handler)
    w = watching(server.port)
    began = time.monotonic()
    with h2.Client(server.port) as c:
        s = c.get("/slow")
    server.join()
    d = w.stop()
    for kind, seconds in (("queue", 0.3), ("service", 0.2), ("first_byte", 0.5)):
        near(d.latency("GET /slow", kind)["max"], seconds, 0.05)
    assert d.latency("GET /slow")["max"] <= s.last - began


def test_a_stream_that_comes_while_the_application_works_for_another_is_queued(raw_server, watching):
    """The second stream comes some 0.2 s into the work for the first, which the program does in the thread that reads."""
    def answer(peer, s):
        pause(0.4)
        peer.answer(s.number)

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    with h2.Client(server.port) as c:
        c.settle()
        first, asked = c.ask("GET", "/first"), time.monotonic()
        net.await_sent(c.sock)  # acknowledged, which may be put off: then the second comes later
        pause(0.2)
        second, gap = c.ask("GET", "/second"), time.monotonic() - asked
        c.wait(first, second)
    server.join()
    d = w.stop()
    near(d.latency("GET /first", "queue")["max"], 0.0, 0.03)
    near(d.latency("GET /second", "queue")["max"], 0.4 - gap, 0.03)
    near(d.latency("GET /first")["max"], 0.4, 0.03)
    near(d.latency("GET /second")["max"], 0.8 - gap, 0.03)
