# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where old connections of HTTP/2 hide a version's endpoints no number of requests helps: the cause is said, and what does help."""
from contextlib import ExitStack

import pytest

from test_h2_frames import by_path
from tw import h2
from tw.net import await_closed
from tw.wait import until
from tw.watch import one_an_arm

ENOUGH = 60  # requests, for it to be said
REMEDY = "new connections do: have what holds these open, a proxy for instance, reloaded"


@pytest.fixture
def served(raw_server):
    return lambda: raw_server(lambda c: h2.serve(c.sock, by_path))


def ask(client, n=ENOUGH):
    for _ in range(n):
        assert client.get("/old").status == 200


def warned(w):
    return [line for line in w.stderr().splitlines() if REMEDY in line]


def test_a_version_whose_endpoints_are_hidden_by_old_connections_is_named_with_what_helps(served, watching):
    both = served(), served()
    with ExitStack() as clients:
        old = clients.enter_context(h2.Client(both[1].port))
        ask(old, 1)
        w = watching(gate={"tick": "1s"}, **one_an_arm(*both))
        ask(old)
        ask(clients.enter_context(h2.Client(both[0].port)))
        until(lambda: warned(w), w.stderr)
        ask(old)
        w.await_looks(20)  # there is time to say it again
    d = w.stop()
    assert d.counts("baseline") == {("GET /old", 200): ENOUGH} and d.counts("canary") == {("(unknown)", 200): 2 * ENOUGH}
    (line,), (note,) = warned(w), [note for note in d["notes"] if REMEDY in note]
    assert line == f"tillwatch: warning: {note}" and note.startswith("v-canary: most of its requests come on HTTP/2 connections")


def test_it_is_said_no_more_once_new_connections_tell_most_endpoints(served, watching):
    server = served()
    with h2.Client(server.port) as old:
        ask(old, 1)
        w = watching(server.port, gate={"tick": "1s"})
        ask(old)
        until(lambda: warned(w), w.stderr)
    await_closed(server.port)
    with h2.Client(server.port) as new:
        ask(new, 2 * ENOUGH)
    d = w.stop()
    assert d.counts() == {("(unknown)", 200): ENOUGH, ("GET /old", 200): 2 * ENOUGH}
    assert d["notes"] == [] and len(warned(w)) == 1
