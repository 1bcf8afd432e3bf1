# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reading watched inside the library, where nobody sees a call begin: whose bytes were they?"""
import os
import sys

import pytest

from tw import net, servers
from tw.client import Client, request
from tw.oracle import assert_answered, counts
from tw.traffic import assert_all_read


def pairs(tmp, pem, how):
    port = net.free_port()
    return servers.Logged([sys.executable, os.path.join(servers.SERVERS, "tls_pairs.py"), "--port", port, "--tls", pem,
                           "--how", how], tmp, "pairs", port)


@pytest.mark.parametrize("how", ["memory", "peek"])
def test_bytes_belong_to_their_connection_though_the_thread_read_another_last(how, tmp_path, certificate, started, watching):
    server = started(pairs(tmp_path, certificate, how))
    w = watching(server.port)
    clients = [Client(server.port, tls=True) for _ in range(2)]
    n = 40
    for _ in range(20):
        for k, c in enumerate(clients):
            c.send(request("GET", f"/of/client-{k}"))
        for c in clients:
            assert c.answer().status == 200
    for c in clients:
        c.close()
    log = counts(server.exchanges(n))
    d = w.stop()
    assert log == {(f"GET /of/client-{k}", 200): n // 2 for k in range(2)}
    assert_answered(d, log)
    assert_all_read(d, 2)
