# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What became of each exchange over TLS: what would have become of it without."""
import collections

from tw import net, tls, tls_servers
from tw.client import Client, request
from tw.faults import CASES, Faulty, assert_record, expected_total, kill_with_requests_in_flight, play_all
from tw.load import Wrk
from tw.oracle import MS, assert_counts, counts
from tw.rawtcp import RawTcp
from tw.traffic import assert_all_read
from tw.watch import ARMS

N = 3


# A server that says good-bye with requests unread reads them after all, looking for the client's good-bye.
UNREAD = ("body_unread", "close_with_body_unread", "pipeline_unread")


# Requests that a server never reads stay ciphertext: their outcome is known, their name and number are not. A connection
# counts as one request then, without a name. Of the requests of these cases so many are not read.
NEVER_READ = {"GET /pipeline_unread": 2, "GET /unread": 1}


def as_decrypted(record):
    """The record without the requests that nobody read, and with one for each connection that had any."""
    out = {endpoint: collections.Counter(outcomes) for endpoint, outcomes in record.items()}
    for endpoint in out.keys() & NEVER_READ.keys():
        connections, unread = out[endpoint]["answered 200"], NEVER_READ[endpoint]
        out[endpoint]["reset_by_server before_first_byte"] -= unread * connections
        out[endpoint] = +out[endpoint]
        out["other"] = out.get("other", collections.Counter()) + collections.Counter(
            {"reset_by_server before_first_byte": connections})
    return out


def test_each_fault_alone_is_counted_as_its_client_saw_it(tmp_path, certificate, started, watching_each):
    """One after the other. Whoever closes says close_notify first, or nothing; in TLS 1.2 the alert can be seen, in 1.3 not."""
    several = [started(Faulty(tmp_path, tls=certificate, name=f"faulty{i}", options=["--goodbye"] * i)) for i in range(2)]
    records = []
    w = watching_each(*several)
    for goodbye, server in enumerate(several):
        cases = [case for case in CASES if not goodbye or case.name not in UNREAD]
        record = {}
        for version in ("1.2", "1.3"):
            part = play_all(cases, 1, server.port, tls=tls.context(version), goodbye=bool(goodbye))
            record = {case.endpoint: part[case.endpoint] + record.get(case.endpoint, collections.Counter())
                      for case in cases}
        records.append(as_decrypted(record))
    d = w.stop()
    for arm, record in zip(ARMS, records):
        assert_record(d, record, arm)
        assert d.requests(arm) == expected_total(record)
        for case in CASES:
            if case.least and case.endpoint in record:
                assert d.latency(case.endpoint, arm=arm)["max"] >= case.least - 5 * MS
    assert_all_read(d)


def test_a_server_that_says_good_bye_and_waits_for_the_clients_has_closed_first(tmp_path, certificate, started,
                                                                                watching_each):
    """As Python's asyncio does: the first FIN is the client's then. A client that says good-bye first has left."""
    several = [started(Faulty(tmp_path, tls=certificate, name=f"faulty{i}", options=["--goodbye", "--patient"]))
               for i in range(2)]
    w = watching_each(*several)
    left = tmp_path / "left"
    cases = (("/unanswered", "length 1000", "close"), ("/truncated", "length 1000", "send head+10; close"),
             ("/until_close", "close 1000", "rest; close"), ("/good", "length 1000", "rest"),
             ("/client_leaves", "length 1000", f"file {left}; close"))
    for version, server in zip(("1.2", "1.3"), several):
        for target, answer, script in cases * N:
            left.unlink(missing_ok=True)
            with Client(server.port, tls=tls.context(version)) as c:
                c.send(request("GET", target, headers=[f"Answer: {answer}", f"Script: {script}"]))
                if target == "/good":
                    c.sock.recv(262144)
                elif target == "/client_leaves":
                    c.half_close()
                    left.touch()
                while target != "/good" and c.sock.recv(262144):
                    pass
    d = w.stop()
    seen = {(name, arm): {k: n for k, n in a["outcomes"].items() if n} for name, arm, a in d.arms()}
    of = {"/unanswered": "unanswered", "/truncated": "truncated", "/until_close": "answered", "/good": "answered",
          "/client_leaves": "client_abandoned"}
    assert seen == {(f"GET {target}", arm): {outcome: N} for target, outcome in of.items()
                    for arm in ARMS[:2]}
    assert_all_read(d)


def test_requests_in_flight_in_a_server_that_is_killed_end_as_their_clients_see_it(tmp_path, certificate, started,
                                                                                  watching):
    server = started(Faulty(tmp_path, tls=certificate))
    w = watching(server.port)
    record = as_decrypted(kill_with_requests_in_flight(server, N, tls=tls.context()))
    d = w.stop()
    assert_record(d, record)
    assert d.requests() == expected_total(record)


def test_a_client_that_vanishes_inside_the_response_ends_in_a_timeout(tun, tmp_path, certificate, started, watching):
    """It acknowledges nothing of a response larger than the window; the server's TCP gives up after its user timeout."""
    server = started(Faulty(tmp_path, host=tun.server, tls=certificate, options=["--user-timeout", 700]))
    w = watching(server.port, host=tun.server)
    c = RawTcp(tun, server.port).connect()
    peer = tls.OverRawTcp(c, tls.context())
    c.acknowledging = False
    peer.send(request("GET", "/pay", headers=["Answer: length 8000000", "Script: rest"]))
    server.await_read("/pay")
    c.wait(lambda: net.open_sockets(server.port) == 0, "the server's user timeout", 20)
    d = w.stop()
    assert d.requests() == 1
    assert d.outcomes() == {"timeout": 1}


def test_faults_among_good_requests_under_load_are_counted_as_their_clients_saw_them(tmp_path, certificate, started,
                                                                                    watching):
    """One version, one port: nginx on one address under wrk, the bench on another. wrk leaves in the middle."""
    good = started(tls_servers.nginx(tmp_path, certificate))
    server = started(Faulty(tmp_path, host="127.0.0.2", port=good.port, tls=certificate))
    targets, connections, seconds = ("/ok", "/missing", "/boom"), 32, 8
    w = watching(versions={"v1": ("baseline", {"listen": str(good.port)})}, serving=[good.port])
    load = started(Wrk(tmp_path, good.port, targets, connections, seconds, pause=2, scheme="https"))
    record = as_decrypted(play_all(CASES, 4, server.port, server.host, threads=4, tls=tls.context()))
    assert load.child.alive(), "the load ended before the faults did"
    load.wait()
    d = w.stop()
    good.stop()
    log = good.log()
    print(f"{len(log) / seconds:.0f} good requests a second")
    assert_record(d, record)
    sent = counts((line.method, line.uri, line.status) for line in log if line.sent)
    of_nginx = {k for k, _ in sent}
    assert_counts({k: n for k, n in d.counts().items() if k[0] in of_nginx}, sent)
    assert 0 <= d.requests() - expected_total(record) - sum(sent.values()) <= connections
    assert_all_read(d)
