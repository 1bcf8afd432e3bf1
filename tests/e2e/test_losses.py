# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Losses that never reach an endpoint: by version and listening socket, against what the kernel and the client counted."""
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tw import net, servers
from tw.client import Client, ask, request
from tw.rawtcp import RawTcp
from tw.servers import RawServer
from tw.wait import until

N = 5
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
CLOSE_BY_SERVER = b"\x88\x02\x03\xe8"
CLOSE_BY_CLIENT = b"\x88\x82\0\0\0\0\x03\xe8"


def version(document, name="v1"):
    return next(v for v in document["versions"] if v["version"] == name)


def listener(document, name="v1"):
    found = version(document, name)["listeners"]
    assert len(found) == 1, found
    return found[0]


def netstat(name):
    """A counter of TcpExt in this network namespace."""
    with open("/proc/net/netstat", encoding="ascii") as f:
        names, values = [line.split() for line in f if line.startswith("TcpExt:")]
    return int(values[names.index(name)])


def answer_all(c):
    while c.request():
        c.send(OK)


def upgraded(client):
    client.send(request("GET", "/live", headers=["Upgrade: websocket", "Connection: Upgrade"]))
    assert client.head()[0] == 101


# --- handshakes ---

def test_connections_made_are_attempts_that_were_established(nginx, watching):
    server = nginx()
    w = watching(server.port)
    for _ in range(N):
        ask(server.port, "GET", "/ok")
    v = version(w.stop())
    assert (v["attempts"], v["established"], v["incomplete"], v["untracked"]) == (N, N, 0, 0)
    assert (v["refused"], v["overflows"], v["drops"], v["unaccepted"]) == (0, 0, 0, 0)
    assert v["idle_resets"] == {"by_server": 0, "by_client": 0}
    assert v["upgraded"]["abrupt_age"] == {"mean": None, "max": None}


def test_a_handshake_whose_last_ack_never_comes_is_incomplete(tun, started, watching):
    server = started(RawServer(answer_all, host=tun.server))
    w = watching(server.port, host=tun.server)
    half_open = []
    for _ in range(N):
        c = RawTcp(tun, server.port)
        c._write(c.isn, 0, 0x02)
        c.wait(lambda c=c: c.peer_isn is not None, "the SYN/ACK")
        half_open.append(c)
    c = half_open[0]
    c._write(c.isn, 0, 0x02)  # once more: the same attempt
    whole = RawTcp(tun, server.port).connect()
    whole.segment(request("GET", "/ok"))
    whole.wait_received(b"ok\n")
    whole.close()
    server.join()
    time.sleep(3.1)  # it is not called incomplete before
    v = version(w.stop(idle=True))
    assert (v["attempts"], v["established"], v["incomplete"], v["handshaking"]) == (N + 1, 1, N, 0)
    assert v["listeners"][0]["repeated_syns"] == 1


# --- listeners ---

def connect_later(port):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", port))
    return s


def test_a_full_accept_queue_is_seen_with_its_depth_limit_and_overflows(watching, started):
    held = started(socket.create_server(("127.0.0.1", net.free_port()), backlog=1))
    port = held.getsockname()[1]
    w = watching(port)
    before = netstat("ListenOverflows"), netstat("ListenDrops")
    clients = [connect_later(port) for _ in range(6)]
    until(lambda: netstat("ListenOverflows") - before[0] >= 4, "four overflows")
    time.sleep(1.2)  # the client's TCP tries again after a second
    overflows, drops = netstat("ListenOverflows") - before[0], netstat("ListenDrops") - before[1]
    for c in clients:
        c.close()
    d = w.stop(idle=True)
    at = listener(d)
    assert (at["backlog"], at["backlog_max"], at["backlog_limit"]) == (2, 2, 1)
    assert (at["overflows"], at["overflows"] + at["drops"]) == (overflows, drops)
    assert at["attempts"] == 6 and at["established"] == 2 and at["repeated_syns"] > 0


@pytest.mark.parametrize("chosen_by", ["the server", "the kernel"])
def test_connections_that_nobody_had_accepted_when_the_listener_closed_are_told(chosen_by, watching):
    held = socket.create_server(("127.0.0.1", net.free_port() if chosen_by == "the server" else 0), backlog=5)
    port = held.getsockname()[1]
    w = watching(port)
    clients = [Client(port) for _ in range(3)]
    held.close()
    for c in clients:
        c.close()
    at = listener(w.stop())
    assert (at["unaccepted"], at["sockets"], at["backlog"], at["backlog_max"]) == (3, 0, None, 3)


def test_connections_refused_after_the_server_ended_are_counted_as_the_client_counts_them(tmp_path, started, watching):
    server = started(servers.app(tmp_path))
    w = watching(server.port)
    ask(server.port, "GET", "/ok")
    server.stop(signal.SIGKILL)
    refused = 0
    for _ in range(17):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        refused += 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", net.free_port()))
    d = w.stop()
    assert version(d)["refused"] == refused
    assert version(d)["attempts"] == 1


def test_a_version_that_is_known_by_its_process_has_its_refused_connections_counted(tmp_path, started, watching):
    server = started(servers.app(tmp_path, env={"SHOP_VERSION": "one"}))
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=one"})}, serving=[server.port])
    ask(server.port, "GET", "/ok")
    server.stop(signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
    assert version(w.stop())["refused"] == 3


def test_connections_refused_over_ipv6_are_counted(ipv6, tmp_path, started, watching):
    server = started(servers.app(tmp_path, host="::1"))
    w = watching(server.port, host="::1")
    ask(server.port, "GET", "/ok", host="::1")
    server.stop(signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("::1", server.port))
    v = version(w.stop())
    assert (v["refused"], v["attempts"], v["established"]) == (3, 1, 1)


REFUSED_THERE = """
import socket, sys
refused = 0
for _ in range(int(sys.argv[2])):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    except ConnectionRefusedError:
        refused += 1
print(refused)
"""


def test_a_listener_in_another_network_namespace_has_its_queue_and_its_refusals(tmp_path, started, watching):
    port = net.free_port()
    app = os.path.join(servers.SERVERS, "app.py")
    server = started(servers.Server(
        ["unshare", "-n", "sh", "-c", f"ip link set lo up; exec {sys.executable} {app} --port {port} --log /dev/null"],
        tmp_path / "there.out", port, wait=False, env={"SHOP_VERSION": "there"}))
    until(lambda: in_netns(server.pid, ["ss", "-Hltn"]).count(f":{port} "), "the listener over there")
    keeper = subprocess.Popen(["nsenter", f"--net=/proc/{server.pid}/ns/net", "sleep", "60"])
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=there"})})
    assert connect_in(server.pid, port, 2) == 0
    until(lambda: "ESTAB" not in in_netns(server.pid, ["ss", "-Htn"]), "the connections' end")
    server.stop(signal.SIGKILL)
    assert connect_in(keeper.pid, port, 3) == 3
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))  # here nobody has ever listened
    v = version(w.stop())
    keeper.kill()
    keeper.wait()
    assert (v["attempts"], v["established"], v["refused"]) == (2, 2, 3)
    assert v["listeners"][0]["backlog_limit"] == 512  # as app.py asks for


def in_netns(pid, command):
    return subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *command], check=True, capture_output=True,
                          text=True).stdout


def connect_in(pid, port, n):
    return int(in_netns(pid, [sys.executable, "-c", REFUSED_THERE, str(port), str(n)]))


def test_two_versions_behind_one_socket_cannot_be_told_apart_and_say_so(tmp_path, started, watching):
    port = net.free_port()
    started(servers.Server(
        [sys.executable, os.path.join(servers.SERVERS, "inherited.py"), "--port", port, "--log", tmp_path / "inherited.log",
         "one", "two"], tmp_path / "inherited.out", port))
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=one"}),
                           "v2": ("canary", {"env": "SHOP_VERSION=two"})}, serving=[port])
    for _ in range(3):
        ask(port, "GET", "/ok")
    d = w.stop()
    for name in ("v1", "v2"):
        at = listener(d, name)
        assert at["shared"] and (at["attempts"], at["established"]) == (3, 3)
        assert version(d, name)["attempts"] is None and version(d, name)["incomplete"] is None


# --- idle connections ---

def test_idle_connections_that_are_reset_tell_by_whom(raw_server, watching):
    def handler(c):
        method_target = c.request()[:2]
        c.send(OK)
        if method_target[1] == "/server":
            c.sock.recv(1)
            c.reset()
        else:
            with pytest.raises(ConnectionResetError):
                c.sock.recv(1)

    server = raw_server(handler)
    w = watching(server.port)
    for _ in range(2):
        with Client(server.port) as c:
            c.ask("GET", "/server")
            c.send(b"\r")  # the signal to reset, no request
            assert c.closed_by_server()
    for _ in range(3):
        c = Client(server.port)
        c.ask("GET", "/client")
        c.reset()
    with Client(server.port) as c:
        c.ask("GET", "/server")
        c.half_close()  # no longer idle: closing
        assert c.closed_by_server()
    server.join()
    d = w.stop()
    assert version(d)["idle_resets"] == {"by_server": 2, "by_client": 3}
    assert d.outcomes() == {"answered": 6}


def test_connections_reset_before_their_first_request_tell_by_whom(raw_server, watching):
    def handler(c):
        if who == "server":
            go.acquire()
            c.reset()
        elif who == "closing":
            c.sock.recv(1)
            c.reset()
        else:
            with pytest.raises(ConnectionResetError):
                c.sock.recv(1)
            done.release()

    go, done = threading.Semaphore(0), threading.Semaphore(0)
    server = raw_server(handler)
    w = watching(server.port)
    who = "server"
    for _ in range(2):
        with Client(server.port) as c:
            go.release()
            with pytest.raises(ConnectionResetError):
                c.sock.recv(1)
    who = "client"
    for _ in range(3):
        Client(server.port).reset()
        done.acquire()
    who = "closing"
    with Client(server.port) as c:
        c.half_close()  # it is not idle any more
        with pytest.raises(ConnectionResetError):
            c.sock.recv(1)
    server.join()
    d = w.stop()
    assert version(d)["idle_resets"] == {"by_server": 2, "by_client": 3}
    assert d["endpoints"] == []


def test_resets_of_connections_that_were_never_there_or_never_accepted_are_no_idle_ones(watching):
    held = socket.create_server(("127.0.0.1", net.free_port()), backlog=5)
    port = held.getsockname()[1]
    w = watching(port)
    waiting = Client(port)
    held.close()
    with pytest.raises(ConnectionResetError):
        waiting.sock.recv(1)
    waiting.close()
    with pytest.raises(ConnectionRefusedError):
        Client(port)
    v = version(w.stop())
    assert (v["unaccepted"], v["refused"]) == (1, 1)
    assert v["idle_resets"] == {"by_server": 0, "by_client": 0}


# --- sessions ---

def test_upgraded_sessions_that_end_well_and_badly_are_told_apart(raw_server, watching):
    def handler(c):
        target = c.request()[1]
        c.send(UPGRADE)
        c.exactly(4)
        if target == "/bye":
            c.send(b"\x81\x02hi", CLOSE_BY_SERVER)
            c.read_until_close()
        elif target == "/answered":
            c.exactly(len(CLOSE_BY_CLIENT))
            c.send(CLOSE_BY_SERVER)
        elif target == "/reset":
            c.reset()
        elif target == "/client":
            with pytest.raises(ConnectionResetError):
                c.sock.recv(1)

    server = raw_server(handler)
    w = watching(server.port)

    def session(target, then):
        with Client(server.port) as c:
            c.send(request("GET", target, headers=["Upgrade: websocket", "Connection: Upgrade"]))
            assert c.head()[0] == 101
            time.sleep(0.2)  # its age
            c.send(b"\x81\x02hi")
            then(c)

    session("/bye", lambda c: (c._exactly(8), c.send(CLOSE_BY_CLIENT)))
    session("/answered", lambda c: (c.send(CLOSE_BY_CLIENT), c._exactly(4), c.closed_by_server()))
    session("/cut", lambda c: c.closed_by_server())
    session("/reset", lambda c: c.closed_by_server())
    session("/client", lambda c: c.reset())
    server.join()
    d = w.stop()
    u = version(d)["upgraded"]
    age = u.pop("abrupt_age")
    assert u == {"begun": 5, "closed": 2, "reset_by_server": 1, "reset_by_client": 1, "cut_by_server": 1, "timeout": 0}
    assert 0.2 <= age["mean"] <= age["max"] < 2


def test_a_session_of_a_killed_server_was_cut(tmp_path, started, watching):
    port = net.free_port()
    server = started(servers.Server([sys.executable, os.path.join(servers.SERVERS, "websocket.py"), str(port)],
                                    tmp_path / "websocket.out", port))
    w = watching(port)
    clients = [Client(port) for _ in range(3)]
    for c in clients:
        upgraded(c)
    clients[0].send(CLOSE_BY_CLIENT)
    assert clients[0]._exactly(4) == CLOSE_BY_SERVER and clients[0].closed_by_server()
    server.stop(signal.SIGKILL)
    for c in clients[1:]:
        assert c.closed_by_server()
    for c in clients:
        c.close()
    u = version(w.stop())["upgraded"]
    assert (u["begun"], u["closed"], u["cut_by_server"]) == (3, 1, 2)


def test_streams_that_break_off_have_their_age(raw_server, watching):
    stay = threading.Event()

    def handler(c):
        target = c.request()[1]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        chunked = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        c.send(head + (b"\r\nhello" if target == "/until_close" else chunked))
        stay.wait(0.3)
        if target == "/whole":
            c.send(b"0\r\n\r\n")
            c.read_until_close()
        elif target != "/cut":
            c.reset()

    server = raw_server(handler)
    w = watching(server.port)
    for target in ("/whole", "/cut", "/reset", "/until_close"):
        with Client(server.port) as c:
            c.send(request("GET", target))
            c.head()
            if target == "/whole":
                c._chunked()
            else:
                try:
                    c._until_close()
                except ConnectionResetError:
                    pass
    server.join()
    s = version(w.stop())["streaming"]
    age = s.pop("abrupt_age")
    assert s == {"reset_by_server": 2, "reset_by_client": 0, "cut_by_server": 1, "client_abandoned": 0, "timeout": 0}
    assert 0.25 <= age["mean"] <= age["max"] < 2


# --- segments ---

def test_segments_sent_again_are_counted_on_open_and_ended_connections(tun, started, watching):
    server = started(RawServer(answer_all, host=tun.server))
    w = watching(server.port, host=tun.server)
    for ends in (True, False):
        c = RawTcp(tun, server.port).connect()
        c.acknowledging = False
        c.segment(request("GET", "/ok"))
        c.wait(lambda c=c: sum(bool(s.data) for s in c.segments) >= 3, "the answer to come three times")
        c.acknowledging = True
        c.ack()
        again = sum(bool(s.data) for s in c.segments) - 1
        if ends:
            c.close()
            total = again
            until(lambda: server._threads and not server._threads[0].is_alive(), "the handler's end")
    d = w.stop(idle=True)
    v = version(d)
    assert v["retransmitted_segments"] == total + again
    assert v["sent_segments"] >= total + again + 2
    c.close()


def test_nothing_is_sent_again_on_a_loopback(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        for _ in range(10):
            c.ask("GET", "/ok")
    v = version(w.stop())
    assert v["retransmitted_segments"] == 0 and v["sent_segments"] >= 10
