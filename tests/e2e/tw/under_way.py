# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is under way when the tool attaches."""
from .client import Client, request
from .oracle import assert_counts

EVIL = b"HTTP/1.1 500 evil\r\n\r\n"  # bytes of a body that look like an answer


def passes_over_a_download(server, watching, **client):
    """The tool comes in the middle of a download; the two requests after it, on the same connection, are all it counts."""
    server.file("big", EVIL * 500_000)
    with Client(server.port, receive_buffer=8192, **client) as c:
        c.send(request("GET", "/files/big"))
        assert c.head()[0] == 200
        w = watching(server.port)
        c._exactly(len(EVIL) * 500_000)
        for target in ("/ok", "/missing"):
            c.ask("GET", target)
    assert_counts(w.stop().counts(), {("GET /ok", 200): 1, ("GET /missing", 404): 1})
