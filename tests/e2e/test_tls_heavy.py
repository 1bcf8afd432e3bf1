# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers over TLS as fast as wrk can drive them, on every CPU: counted to the last request, each on its own socket."""
from tw import tls_servers
from tw.load import Wrk
from tw.oracle import assert_counts, counts

SECONDS = 5
CONNECTIONS = 64
TARGETS = ("/ok", "/missing/1", "/boom", "/orders/8812", "/empty", "/ok?q=1", "/unchanged")


def assert_counted(document, log, arm="baseline"):
    """
    wrk leaves in the middle of requests. Those that nginx could not send a byte for it logs with bytes_sent 0: they
    have no status on the wire, and are the only ones the two counts may differ by.
    """
    sent = counts((line.method, line.uri, line.status) for line in log if line.sent)
    assert_counts(document.counts(arm), sent)
    unanswered = document.requests(arm) - sum(sent.values())
    assert 0 <= unanswered <= CONNECTIONS, document.outcomes(arm)
    assert set(document.outcomes(arm)) <= {"answered", "reset_by_client", "client_abandoned", "unanswered"}


def test_nginx_under_wrk_is_counted_to_the_last_request(tmp_path, certificate, started, watching):
    server = started(tls_servers.nginx(tmp_path, certificate, workers=2))
    w = watching(server.port)
    load = started(Wrk(tmp_path, server.port, TARGETS, CONNECTIONS, SECONDS, scheme="https", threads=2))
    print(load.wait())
    d = w.stop()
    server.stop()  # its log is complete when it has ended
    log = server.log()
    assert len(log) > 1000
    assert_counted(d, log)
    c = d["coverage"]
    assert c["opaque_tls"] == c["desynchronised"] == 0 and c["decoded"] == c["connections"] and c["complete"] is True, c
    print(len(log), d["overhead"])


def test_two_nginx_under_wrk_are_told_apart_to_the_last_request(tmp_path, certificate, started, watching_each):
    arms = {arm: started(tls_servers.nginx(tmp_path, certificate, name=arm)) for arm in ("baseline", "canary")}
    w = watching_each(*arms.values())
    load = [started(Wrk(tmp_path, s.port, TARGETS, CONNECTIONS // 2, SECONDS, arm, scheme="https"))
            for arm, s in arms.items()]
    for one in load:
        one.wait()
    d = w.stop()
    for arm, s in arms.items():
        s.stop()
        assert_counted(d, s.log(), arm)
    assert d["coverage"]["complete"] is True, d
