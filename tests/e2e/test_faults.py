# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The fault bench: whatever a server or a client does, each exchange ends once, as the client's own record says."""
import signal

import pytest

from tw import rawtcp
from tw.client import Client, request
from tw.faults import (CASES, HEAD, Case, Dialogue, Faulty, assert_record, expected_total, finish,
                       kill_with_requests_in_flight, play_all)
from tw.load import Wrk
from tw.lossy import Lossy
from tw.oracle import MS, assert_counts, counts
from tw.parallel import in_parallel
from tw.proc import state
from tw.wait import pause, until

N = 3


def drain(c):
    try:
        while c.sock.recv(65536):
            pass
    except ConnectionResetError:
        pass


@pytest.mark.harness
def test_each_case_of_the_bench_is_what_its_client_sees(tmp_path, started):
    server = started(Faulty(tmp_path))
    play_all(CASES, 2, server.port, threads=4)


def test_each_fault_alone_is_counted_as_its_client_saw_it(tmp_path, started, watching):
    """One after the other, nothing else on the machine's wires that is watched."""
    server = started(Faulty(tmp_path))
    w = watching(server.port)
    record = play_all(CASES, N, server.port)
    d = w.stop()
    assert_record(d, record)
    assert d.requests() == expected_total(record)
    assert d["coverage"]["desynchronised"] == d["coverage"]["not_http"] == 0, d
    for case in CASES:
        if case.least:
            assert d.latency(case.endpoint)["max"] >= case.least - 5 * MS


def test_faults_among_20000_good_requests_a_second_are_counted_as_their_clients_saw_them(tmp_path, nginx, started,
                                                                                        watching):
    """One version, one port: nginx on one address under wrk, the bench on another. wrk leaves in the middle."""
    good = nginx()
    server = started(Faulty(tmp_path, host="127.0.0.2", port=good.port))
    targets, connections, seconds = ("/ok", "/missing", "/boom"), 48, 8
    w = watching(versions={"v1": ("baseline", {"listen": str(good.port)})}, serving=[good.port])
    load = started(Wrk(tmp_path, good.port, targets, connections, seconds, pause=1))
    record = play_all(CASES, 10, server.port, server.host, threads=4)
    assert load.child.alive(), "the load ended before the faults did"
    load.wait()
    d = w.stop()
    good.stop()
    log = good.log()
    print(f"{len(log) / seconds:.0f} good requests a second")
    assert len(log) / seconds > 5000
    assert_record(d, record)
    sent = counts((line.method, line.uri, line.status) for line in log if line.sent)
    of_nginx = {k for k, _ in sent}
    assert_counts({k: n for k, n in d.counts().items() if k[0] in of_nginx}, sent)
    assert 0 <= d.requests() - expected_total(record) - sum(sent.values()) <= connections
    assert d["coverage"]["desynchronised"] == 0 and d["coverage"]["complete"] is True


def test_requests_in_flight_in_a_server_that_is_killed_end_as_their_clients_see_it(tmp_path, started, watching):
    server = started(Faulty(tmp_path))
    w = watching(server.port)
    record = kill_with_requests_in_flight(server, N)
    d = w.stop()
    assert_record(d, record)
    assert d.requests() == expected_total(record)


def test_a_server_that_is_killed_resets_what_waits_in_its_backlog(tmp_path, started, watching):
    server = started(Faulty(tmp_path, options=["--single"]))
    w = watching(server.port)
    first = Dialogue(Case("busy", "wait 60000; rest", "unanswered"), server.port)
    first.send()
    server.await_read("/busy")
    rest = [Dialogue(Case("waiting", "rest", "reset_by_server before_first_byte"), server.port) for _ in range(N)]
    for d in rest:
        d.send()
    server.stop(signal.SIGKILL)
    record = finish([first, *rest])
    d = w.stop()
    assert_record(d, record)
    assert d.requests() == 1 + N


def test_a_server_that_is_stopped_and_continued_answers_late_and_loses_nothing(tmp_path, started, watching):
    server = started(Faulty(tmp_path))
    w = watching(server.port)
    inside = Dialogue(Case("inside", "send head; wait 200; rest", "answered 200"), server.port)
    inside.send()
    inside.read(HEAD)
    server.child.kill(signal.SIGSTOP)
    until(lambda: state(server.pid) == "T", "the server to be stopped")
    after = Dialogue(Case("after", "rest", "answered 200"), server.port)
    gone = Dialogue(Case("gone", "gone; close", "client_abandoned before_first_byte"), server.port)
    after.send()
    gone.send()
    gone.leave()
    pause(0.5)
    server.child.kill(signal.SIGCONT)
    record = finish([inside, after])
    record[gone.case.endpoint].update(gone.outcomes())
    d = w.stop()
    assert_record(d, record)
    assert d.requests() == 3
    for name in ("inside", "after"):
        assert d.latency(f"GET /{name}")["max"] >= 0.5
    assert d.latency("GET /after", "queue")["max"] >= 0.5
    assert d.latency("GET /after", "service")["max"] < 0.2


# ---- measured failures of other observers --------------------------------------------------------------------------


def test_an_unanswered_request_does_not_take_the_answer_of_the_next_on_its_descriptor(tmp_path, started, watching):
    server = started(Faulty(tmp_path, options=["--single"]))
    w = watching(server.port)
    record = play_all([Case("abort_checkout", "close", "unanswered")], 1, server.port)
    record.update(play_all([Case("checkout", "rest; close", "answered 200")], 1, server.port))
    (first, fd, _), (second, same, _) = server.seen()
    assert (first, second, fd) == ("/abort_checkout", "/checkout", same)
    d = w.stop()
    assert_record(d, record)
    assert d.requests() == 2
    assert d.latency("GET /checkout")["max"] < 1
    assert d.latency("GET /abort_checkout")["max"] is None


def test_what_a_request_waits_in_the_backlog_is_its_queue_time_to_5_ms(tmp_path, started, watching):
    """The truth: the client's clock when it sent, the server's when it read, the client's when it was answered."""
    server = started(Faulty(tmp_path, options=["--single"]))
    w = watching(server.port)
    busy = Dialogue(Case("busy", "wait 3000; rest; close", "answered 200"), server.port)
    busy.send()
    server.await_read("/busy")
    waiting = [Dialogue(Case(f"waits_{i}", "wait 100; rest; close", "answered 200"), server.port) for i in "abc"]
    done = {}
    for d in waiting:
        d.send()
    for d in waiting:
        d.drain()
        done[d.case.name] = d.done - d.client.started
    record = finish([busy, *waiting])
    doc = w.stop()
    assert_record(doc, record)
    read = {target[1:]: t for target, _, t in server.seen()}
    for d in waiting:
        queue = read[d.case.name] - d.client.started
        assert queue >= 2.9
        assert abs(doc.latency(d.case.endpoint, "queue")["max"] - queue) <= 5 * MS
        assert abs(doc.latency(d.case.endpoint, "service")["max"] - 0.1) <= 20 * MS
        assert 0 <= done[d.case.name] - doc.latency(d.case.endpoint)["max"] <= 20 * MS


def test_three_requests_in_one_segment_are_three_exchanges(tmp_path, started, watching):
    server = started(Faulty(tmp_path))
    w = watching(server.port)
    with Client(server.port) as c:
        c.send(b"".join(request("GET", f"/{name}", headers=["Answer: length 10", "Script: rest"]) for name in "abc"))
        assert [c.answer().status for _ in range(3)] == [200] * 3
    d = w.stop()
    assert d.counts() == {(f"GET /{name}", 200): 1 for name in "abc"}
    assert d.requests() == 3


def test_an_answer_closed_10_bytes_into_1000_is_not_a_success(tmp_path, started, watching):
    server = started(Faulty(tmp_path))
    w = watching(server.port)
    record = play_all([Case("pay", "send head+10; close", "truncated 200")], 1, server.port)
    d = w.stop()
    assert_record(d, record)
    assert d.figures("GET /pay")["errors"] == 1 and d.requests() == 1
    assert d.latency("GET /pay")["max"] is None


@pytest.mark.parametrize("json_output", [True, False])
def test_a_card_number_in_a_query_comes_out_nowhere(tmp_path, started, watching, json_output):
    """Of answered and of abnormal exchanges, of heads in one piece and in many."""
    server = started(Faulty(tmp_path))
    w = watching(server.port, json_output=json_output)
    card = "4111111111111111"
    for script in ("rest; close", "close", "send 20; reset"):
        whole = request("GET", f"/pay?card={card}&x=1", headers=["Answer: length 10", f"Script: {script}"])
        for pieces in ([whole], [whole[:12], whole[12:25], whole[25:]], [whole[:9], whole[9:]]):
            with Client(server.port) as c:
                c.send(*pieces)
                drain(c)
    assert w.end() in (0, 10, 20, 30)
    assert "/pay" in w.stdout()
    for text in (w.stdout(), w.stderr()):
        assert card not in text and "card" not in text and card[:8] not in text


# ---- a bad network -------------------------------------------------------------------------------------------------

# An RST is sent once and nobody repeats it: what ends by one cannot be counted on where packets are lost.
SAFE = [c for c in CASES if not any("reset" in outcome for outcome in c.expected) and c.name != "server_writes_on"]


@pytest.fixture
def lossy(started):
    reason = rawtcp.unavailable()
    if reason:
        pytest.skip(reason)
    return started(Lossy())


def test_loss_duplication_and_reordering_leave_the_counts_exact(tmp_path, nginx, started, watching, lossy):
    good = nginx(host=lossy.server)
    good.file("big", b"x" * 200_000)
    server = started(Faulty(tmp_path, host=lossy.server))
    w = watching(versions={"v1": ("baseline", {"listen": f"{lossy.server}:{good.port}"}),
                           "v2": ("canary", {"listen": f"{lossy.server}:{server.port}"})},
                 serving=[good.port, server.port])
    record = {}

    def customer():
        lossy.enter()
        for _ in range(3):
            with Client(good.port, lossy.server) as c:
                for _ in range(10):
                    c.ask("GET", "/ok")
                    c.ask("POST", "/boom", b"y" * 20_000)
                    c.ask("GET", "/files/big")
                    c.send(request("GET", "/ok/a") + request("GET", "/missing") + request("GET", "/ok/b"))
                    assert [c.answer().status for _ in range(3)] == [200, 404, 200]

    def work(i):
        if i < 6:
            customer()
        else:
            record.update(play_all(SAFE, 3, server.port, lossy.server, threads=8, prepare=lossy.enter))

    in_parallel(7, work)
    d = w.stop()
    print(lossy.did, d["coverage"])
    assert min(lossy.did.values()) > 100
    assert_counts(d.counts(), counts(good.exchanges(6 * 3 * 10 * 6)))
    assert d.outcomes() == {"answered": 6 * 3 * 10 * 6}
    assert_record(d, record, "canary")
    assert d.requests("canary") == expected_total(record)
