# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The fault bench over HTTP/2: whatever a server or a client does, each stream ends once, as both their records say."""
import signal
import subprocess

import pytest

from tw import h2, h2_servers
from tw.faults import assert_record, expected_total, finish, play_all
from tw.fronts import need
from tw.h2faults import ANSWERED, CASES, CUT, UNANSWERED, Case, Dialogue, Faulty, exchanges, method_of
from tw.h2traffic import assert_h2
from tw.oracle import MS, assert_counts, counts
from tw.watch import ARMS

N = 3
HTTP2_STREAM_ERROR = 92  # an exit code of curl's


def tls_of(secure, certificate):
    """What the server gets, and what its clients do."""
    return (certificate, h2.context()) if secure else (None, None)


def as_the_server_saw_it(server, record):
    """Both sides' records are the same."""
    record = {endpoint: +outcomes for endpoint, outcomes in record.items()}
    assert server.record(expected_total(record), method_of) == record
    return record


BOTH = pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "tls"])


@pytest.mark.harness
@BOTH
def test_client_and_server_of_the_bench_have_the_same_record(secure, tmp_path, certificate, started):
    pem, context = tls_of(secure, certificate)
    server = started(Faulty(tmp_path, tls=pem))
    record = play_all(CASES, 2, server.port, threads=4, tls=context)
    as_the_server_saw_it(server, record)


def test_each_fault_alone_is_counted_as_both_sides_saw_it(tmp_path, certificate, started, watching_each):
    """One after the other, nothing else on the machine's wires that is watched; over plaintext, then over TLS."""
    several = [started(Faulty(tmp_path, tls=pem, name=f"faulty{i}")) for i, pem in enumerate((None, certificate))]
    w = watching_each(*several)
    records = [play_all(CASES, N, server.port, tls=context) for server, context in zip(several, (None, h2.context()))]
    for server, record in zip(several, records):
        as_the_server_saw_it(server, record)
    begun, records = sum(map(expected_total, records)), list(map(exchanges, records))
    d = w.stop()
    for arm, record in zip(ARMS, records):
        assert_record(d, record, arm)
        assert d.requests(arm) == expected_total(record)
        for case in CASES:
            if case.least:
                assert d.latency(case.endpoint, arm=arm)["max"] >= case.least - 5 * MS, case
    assert_h2(d, 2 * N * len(CASES), requests=begun)
    assert d["coverage"]["http2"]["withdrawn"] == begun - sum(map(expected_total, records)) > 0


@BOTH
def test_faults_among_good_requests_under_load_are_counted_as_both_sides_saw_them(secure, tmp_path, certificate, started,
                                                                                 watching):
    """One version, one port: nginx on one address under h2load, the bench on another."""
    pem, context = tls_of(secure, certificate)
    good = started(h2_servers.Nginx(tmp_path, pem))
    server = started(Faulty(tmp_path, host="127.0.0.2", port=good.port, tls=pem))
    w = watching(versions={"v1": ("baseline", {"listen": str(good.port)})}, serving=[good.port])
    load = started(h2_servers.H2load(tmp_path, good, ("/ok", "/missing", "/boom"), 60_000, 16, 8, secure))
    record = play_all(CASES, 2, server.port, server.host, threads=4, tls=context)
    record = exchanges(as_the_server_saw_it(server, record))
    assert load.wait()["done"] == 60_000
    log = counts(good.exchanges(60_000))
    d = w.stop()
    assert_record(d, record)
    of_nginx = {k for k, _ in log}
    assert_counts({k: n for k, n in d.counts().items() if k[0] in of_nginx}, log)
    assert d.requests() == expected_total(record) + 60_000
    assert_h2(d)


def test_streams_in_flight_in_a_server_that_is_killed_end_as_their_clients_see_it(tmp_path, certificate, started,
                                                                                 watching_each):
    several = [started(Faulty(tmp_path, tls=pem, name=f"faulty{i}")) for i, pem in enumerate((None, certificate))]
    w = watching_each(*several)
    killed = [
        Case("before", "gone", UNANSWERED),
        Case("hinted", "hints; gone", UNANSWERED),
        Case("inside_body", "send 10; gone", CUT),
        Case("several", ["rest", "send 10; gone", "head; gone"] + ["gone"] * 20, [ANSWERED, CUT, CUT] + [UNANSWERED] * 20),
    ]
    records = []
    for server, context in zip(several, (None, h2.context())):
        dialogues = [Dialogue(case, server.port, tls=context) for case in killed for _ in range(N)]
        for d in dialogues:
            d.send()
            begun = sum("truncated" in e or "answered 200" in e for e in d.case.expected)
            d.read(lambda d=d, n=begun: sum(bool(s.headers) for s in d.streams) >= n)
        for case in killed:
            server.await_read(f"/{case.name}", N * len(case.scripts))
        server.stop(signal.SIGKILL)
        records.append(finish(dialogues))
    d = w.stop()
    for arm, record in zip(ARMS, records):
        assert_record(d, record, arm)
        assert d.requests(arm) == expected_total(record)
    assert_h2(d, 2 * N * len(killed))


@pytest.mark.parametrize("end", [True, False], ids=["whole", "without_an_end"])
def test_an_answer_that_its_client_drops_for_its_length_is_cut_by_the_server(end, raw_server, watching):
    """curl drops it with an error of the stream: where it waits for more, by a reset that is the server's doing."""
    need("curl")
    lengths = {"/less": (5, 6), "/more": (5, 4), "/none": (5, 0), "/right": (5, 5)}

    def answer(peer, s):
        size, said = lengths[s.headers[":path"]]
        peer.answer(s.number, 200, b"x" * size, [("content-length", str(said))], end=end or size == said)

    server = raw_server(lambda c: h2.serve(c.sock, answer))
    w = watching(server.port)
    wrong = [path for path, (size, said) in lengths.items() if size > said or end and size < said]
    for path in wrong + ["/right"]:
        done = subprocess.run(["curl", "-s", "--http2-prior-knowledge", f"http://127.0.0.1:{server.port}{path}"],
                              capture_output=True, timeout=30, check=False)
        assert done.returncode == (HTTP2_STREAM_ERROR if path in wrong else 0), done
    server.join()
    d = w.stop()
    got = {name: {k: n for k, n in a["outcomes"].items() if n} for name, _, a in d.arms()}
    assert got == {"GET /right": {"answered": 1}} | {f"GET {path}": {"truncated": 1} for path in wrong}
    assert_h2(d)


def test_a_request_that_gets_no_answer_in_time_is_a_timeout_whatever_ends_it(tmp_path, started, watching):
    """And what began in time is none, however long it takes."""
    server = started(Faulty(tmp_path))
    w = watching(server.port, gate={"timeout": "1s"})
    cases = [Case("late", "wait 1500; rest", ANSWERED), Case("late_reset", "wait 1500; rst 2", "reset_by_server before_first_byte"),
             Case("in_time", "head; wait 1500; rest", ANSWERED), Case("hinted", "hints; wait 1500; rest", ANSWERED),
             Case("never", "wait 1500; close", UNANSWERED)]
    play_all(cases, 1, server.port, threads=len(cases))
    d = w.stop()
    got = {name: {k: n for k, n in a["outcomes"].items() if n} for name, _, a in d.arms()}
    assert got == {"GET /late": {"timeout": 1}, "GET /late_reset": {"timeout": 1}, "GET /in_time": {"answered": 1},
                   "GET /hinted": {"timeout": 1}, "GET /never": {"timeout": 1}}
    assert d.figures("GET /late")["status"] == {"200": 1}
