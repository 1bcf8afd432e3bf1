# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What TLS does on its own between the requests and inside of them: writes that are repeated, keys that change, handshakes
on old connections, halves that are shut, data before the handshake's end. None of it is a request, and none hides one.
"""
import ssl
import subprocess

import pytest

from tw import tls
from tw.client import Client, ask, request
from tw.oracle import assert_answered, counts
from tw.traffic import assert_all_read
from tw.wait import pause, until
from tw.watch import ARMS

MB = 1 << 20


def slow_reader(port, target, pieces=5):
    """Asks for target, and again behind it, with little room; takes the answer in bursts with pauses between."""
    with Client(port, tls=True, receive_buffer=4096) as c:
        c.send(request("GET", target))
        for _ in range(pieces):
            pause(0.03)
            c.buf += c.sock.recv(16384)
        first = c.answer()
        second = c.ask("GET", target)
        c.ask("GET", "/missing/1")
        return len(first.body), len(second.body)


SMALL = "--send-buffer 16384"


@pytest.mark.parametrize("kinds", [
    ("nginx", "haproxy", "apache"), ("lighttpd", "caddy", "asyncio"), ("node", "threads", f"shared {SMALL}"),
    (f"shared --event {SMALL}", f"shared --event --partial --ex {SMALL}", f"boringssl --event --partial {SMALL}")],
    ids=", ".join)
def test_a_large_answer_to_a_slow_reader_is_one_exchange(kinds, tls_server, watching_each):
    """Writes that are taken in part, that must be repeated, and that lie ready while the window is shut."""
    size = 3 * MB
    several = [tls_server(kind) for kind in kinds]
    w = watching_each(*several)
    for kind, server in zip(kinds, several):
        target = "/big/3" if kind == "node" else f"{server.prefix}/size/{size}"
        assert slow_reader(server.port, target) == (size, size)
    logs = [counts(server.exchanges(3)) for server in several]
    d = w.stop()
    for arm, log in zip(ARMS, logs):
        assert_answered(d, log, arm)
    assert_all_read(d, len(several))


def test_writes_that_are_repeated_do_not_mix_the_connections_of_a_thread(tls_server, watching):
    """One thread, twenty answers under way at once, each stuck and repeated between the others."""
    server = tls_server(f"shared --event --partial {SMALL}")
    n = 20
    w = watching(server.port)
    clients = [Client(server.port, tls=True, receive_buffer=4096) for _ in range(n)]
    for i, c in enumerate(clients):
        c.send(request("GET", f"/size/{200_000 + i}"))
    waiting = set(range(n))
    while waiting:
        for i in sorted(waiting):
            data = clients[i].sock.recv(16384)
            clients[i].buf += data
            if not data or len(clients[i].buf) > 200_000 + i:
                waiting.discard(i)
    assert [len(c.answer().body) for c in clients] == [200_000 + i for i in range(n)]
    for i, c in enumerate(clients):
        c.ask("GET", ("/ok", "/missing")[i % 2])
        c.close()
    log = counts(server.exchanges(2 * n))
    d = w.stop()
    assert_answered(d, log)
    assert_all_read(d, n)


# ---- keys and handshakes -------------------------------------------------------------------------------------------


class SClient:
    """openssl s_client, spoken to on its standard input. A line of one letter is a command of its own: R, k, K."""

    def __init__(self, tmp, port, *options, name="s_client"):
        self.log = tmp / f"{name}.out"
        with open(self.log, "wb") as out:
            self.proc = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-nbio", "-servername",
                                          "shop.example", "-alpn", "http/1.1", *options],
                                         stdin=subprocess.PIPE, stdout=out, stderr=out)
        self.await_text("---\n")

    def text(self):
        return self.log.read_text(errors="replace")

    def await_text(self, what, n=1):
        until(lambda: self.text().count(what) >= n, lambda: f"{what!r} {n} times from s_client: {self.text()[-600:]}")

    def say(self, text):
        self.proc.stdin.write(text)
        self.proc.stdin.flush()

    def ask(self, target):
        n = self.text().count("HTTP/1.1 ")
        self.say(request("GET", target))
        self.await_text("HTTP/1.1 ", n + 1)

    def command(self, letter, says):
        n = self.text().count(says)
        self.say(letter + b"\n")
        self.await_text(says, n + 1)

    def stop(self):
        if self.proc.poll() is None:
            self.proc.stdin.close()  # the end of its input ends it
            self.proc.wait(10)


def check_each(w, several, requests, connections):
    """requests: how many each of them has answered; its log must be the document's arm."""
    logs = [counts(server.exchanges(n)) for server, n in zip(several, requests)]
    d = w.stop()
    for arm, log in zip(ARMS, logs):
        assert_answered(d, log, arm)
    assert_all_read(d, connections)


def test_connections_that_are_renegotiated_go_on_as_before(tmp_path, tls_server, started, watching_each):
    """TLS 1.2: handshakes between requests, asked for by the client and by the server."""
    several = [tls_server(f"shared {way}") for way in ("", "--event", "--ex")]
    w = watching_each(*several)
    for i, server in enumerate(several):
        c = started(SClient(tmp_path, server.port, "-tls1_2", name=f"client{i}"))
        for target in ("/ok", "/missing"):
            c.ask(target)
            c.command(b"R", "RENEGOTIATING")
            c.ask(target + "/again")
        c.stop()
        c = started(SClient(tmp_path, server.port, "-tls1_2", name=f"server{i}"))
        for target in ("/ok", "/renegotiate", "/missing", "/renegotiate", "/ok"):
            c.ask(target)
        c.stop()
    check_each(w, several, [9] * 3, 6)


@pytest.mark.parametrize("kinds", [("nginx", "caddy", "lighttpd"), ("shared", "shared --event", "node")], ids=", ".join)
def test_keys_that_change_are_no_requests(kinds, tmp_path, tls_server, started, watching_each):
    """TLS 1.3: k changes the client's keys, K asks for new ones of the server as well."""
    several = [tls_server(kind) for kind in kinds]
    requests = []
    w = watching_each(*several)
    for kind, server in zip(kinds, several):
        c = started(SClient(tmp_path, server.port, "-tls1_3", name=f"client of {kind}"))
        for letter in (b"k", b"K", b"k"):
            c.ask("/ok")
            c.command(letter, "KEYUPDATE")
            c.ask("/missing/1")
        requests.append(6)
        if kind.startswith("shared"):
            c.ask("/keyupdate")
            c.ask("/ok")
            requests[-1] += 2
        c.stop()
    check_each(w, several, requests, 3)


# ---- ends ----------------------------------------------------------------------------------------------------------


def test_clients_that_shut_a_half_or_leave_between_requests_are_answered(tls_server, watching_each):
    """
    close_notify, then FIN, right behind the request: Python's threads answer all the same. And between requests, with
    close_notify, without, and by a reset.
    """
    threads, nginx = tls_server("threads"), tls_server("nginx")
    n = 5
    w = watching_each(threads, nginx)
    for _ in range(n):
        with Client(threads.port, tls=True) as c:
            c.send(request("GET", "/sleep/50"))
            c.half_close()
            assert c.answer().status == 200
        for how in ("notify", "fin", "reset"):
            c = Client(nginx.port, tls=True, goodbye=how == "notify")
            c.ask("GET", "/ok")
            if how == "reset":
                c.reset()
            else:
                c.close()
    check_each(w, [threads, nginx], [n, 3 * n], 4 * n)


def test_handshakes_without_a_request_are_no_requests(tls_server, watching):
    """One that succeeds; a version that the server does not speak; a client that refuses the certificate."""
    server = tls_server("nginx", settings="ssl_protocols TLSv1.3;")
    w = watching(server.port)
    Client(server.port, tls=tls.context()).close()
    for context in (tls.context("1.2"), ssl.create_default_context()):
        with pytest.raises(ssl.SSLError):
            Client(server.port, tls=context)
    for _ in range(3):
        assert ask(server.port, "GET", "/ok", tls=True).status == 200
    d = w.stop()
    assert_answered(d, {("GET /ok", 200): 3})
    assert d["coverage"]["opaque_tls"] == 0 and d["coverage"]["complete"] is True, d


# ---- data before the end of the handshake ---------------------------------------------------------------------------


def early(tmp, port, target, session):
    """A request as early data, by openssl s_client, which closes when it has its answer; whether the server took it."""
    data = tmp / "early.data"
    data.write_bytes(request("GET", target))
    c = SClient(tmp, port, "-tls1_3", "-sess_in", str(session), "-early_data", str(data), name="early")
    c.await_text("HTTP/1.1 ")
    c.stop()
    return "Early data was accepted" in c.text()


def keep_session(tmp, port):
    path = tmp / "session.pem"
    c = SClient(tmp, port, "-tls1_3", "-sess_out", str(path), name="first")
    c.ask("/first")
    c.stop()
    return path


def test_a_request_in_early_data_is_counted_once(tmp_path, tls_server, watching_each):
    several = [tls_server("nginx", settings="ssl_early_data on;"), tls_server("shared --early")]
    w = watching_each(*several)
    for server in several:
        for i in range(4):
            session = keep_session(tmp_path, server.port)
            assert early(tmp_path, server.port, ("/ok", "/missing/1")[i % 2], session), "the server refused early data"
    check_each(w, several, [8, 8], 16)
