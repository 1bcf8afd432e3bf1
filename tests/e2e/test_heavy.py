# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Two nginx instances as fast as wrk can drive them: every request counted, nothing lost."""
import collections

from tw.load import Wrk
from tw.oracle import assert_counts, counts

SECONDS = 5
TARGETS = ("/ok", "/missing/1", "/boom", "/orders/8812", "/empty", "/ok?q=1", "/unchanged")


def test_two_nginx_under_wrk_are_counted_to_the_last_request(tmp_path, nginx, started, watching_each):
    """
    wrk leaves in the middle of requests. Those that nginx could not send a byte for it logs with bytes_sent 0: they
    have no status on the wire, and are the only ones the two counts may differ by.
    """
    servers = {"baseline": nginx(name="one", workers=1), "canary": nginx(name="two", workers=1)}
    connections = 32
    w = watching_each(*servers.values())
    load = [started(Wrk(tmp_path, s.port, TARGETS, connections, SECONDS, arm)) for arm, s in servers.items()]
    for one in load:
        one.wait()
    d = w.stop()
    for arm, s in servers.items():
        s.stop()  # its log is complete when it has ended
        log = s.log()
        assert len(log) > 1000
        sent = counts((line.method, line.uri, line.status) for line in log if line.sent)
        assert_counts(d.counts(arm), sent)
        unanswered = d.requests(arm) - sum(sent.values())
        assert 0 <= unanswered <= connections, d.outcomes(arm)
        assert set(d.outcomes(arm)) <= {"answered", "reset_by_client", "client_abandoned", "unanswered"}
    assert d["loss"]["events"] == d["loss"]["exchanges"] == 0, d["loss"]
    assert d["coverage"]["desynchronised"] == 0 and d["coverage"]["complete"] is True
    print(dict(collections.Counter(d.by_status("baseline"))), d["overhead"])
