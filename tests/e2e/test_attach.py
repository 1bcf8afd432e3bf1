# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Coming late, going early, and leaving nothing behind."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from tw import net, servers, watch
from tw.client import Client, ask, request
from tw.oracle import assert_answered, assert_counts, counts
from tw.proc import children
from tw.under_way import passes_over_a_download
from tw.wait import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def test_connections_opened_before_the_attach_are_seen_from_their_next_request_on(nginx, watching):
    server = nginx()
    clients = [Client(server.port) for _ in range(10)]
    for i, c in enumerate(clients):
        for _ in range(i % 3):
            c.ask("GET", "/before")
    before = len(server.log(9))
    w = watching(server.port)
    for c in clients:
        for target in ("/ok", "/missing", "/boom"):
            c.ask("GET", target)
        c.send(request("GET", "/ok") + request("GET", "/missing"))
        c.answer()
        c.answer()
        c.close()
    d = w.stop()
    assert_answered(d, counts(server.exchanges(before + 50)[before:]))


def test_a_download_under_way_at_the_attach_is_passed_over_and_the_next_request_is_counted(nginx, watching):
    passes_over_a_download(nginx(), watching)


def test_an_upload_under_way_at_the_attach_is_passed_over_and_the_next_request_is_counted(nginx, watching):
    # It answers before the body has come, and by itself waits for the rest for no more than five seconds.
    server = nginx(http="lingering_timeout 60s; lingering_time 60s;")
    body = b"GET /evil HTTP/1.1\r\n\r\n" * 1000
    with Client(server.port) as c:
        c.send(request("POST", "/ok", headers=[f"Content-Length: {2 * len(body)}"]), body)
        w = watching(server.port)
        c.send(body[:10], body[10:])
        c.answer()
        for _ in range(3):
            c.ask("GET", "/missing")
    d = w.stop()
    assert d.counts()["GET /missing", 404] == 3
    assert set(d.counts()) <= {("GET /missing", 404), ("POST /ok", 200)}


def test_a_request_that_waits_for_its_answer_at_the_attach_does_not_shift_the_statuses(raw_server, watching):
    go = threading.Event()

    def handler(c):
        c.request()
        go.wait(30)
        c.send(b"HTTP/1.1 503 Late\r\nContent-Length: 0\r\n\r\n")
        while c.request():
            c.send(OK)

    server = raw_server(handler)
    with Client(server.port) as c:
        c.send(request("GET", "/before"))
        w = watching(server.port)
        go.set()
        assert c.answer().status == 503
        for _ in range(5):
            c.ask("GET", "/after")
    d = w.stop()
    assert_counts(d.counts(), {("GET /after", 200): 5})


def test_a_version_that_starts_after_the_attach_is_counted_from_its_first_request(tmp_path, started, watching):
    port = net.free_port()
    w = watching(port)
    server = started(servers.app(tmp_path, port=port))
    with Client(port) as c:
        for target in ("/ok", "/fail", "/ok"):
            c.ask("GET", target)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(3)))


def test_a_version_known_by_its_environment_is_found_when_it_starts_later(tmp_path, started, watching):
    first = started(servers.app(tmp_path, "first", env={"SHOP_VERSION": "one"}))
    w = watching(versions={"v1": ("baseline", {"env": "SHOP_VERSION=one"}), "v2": ("canary", {"env": "SHOP_VERSION=two"})},
                 serving=[first.port])
    ask(first.port, "GET", "/ok")
    second = started(servers.app(tmp_path, "second", env={"SHOP_VERSION": "two"}))
    # Finding it takes a moment: the requests until then may or may not be its own.
    end = time.monotonic() + 3
    with Client(second.port) as c:
        while time.monotonic() < end:
            c.ask("GET", "/settling")
    with Client(second.port) as c:
        for target in ("/ok", "/fail", "/ok"):
            c.ask("GET", target)
    net.await_closed(second.port)
    d = w.stop()
    got = {k: n for k, n in d.counts("canary").items() if k[0] != "GET /settling"}
    assert_counts(got, {("GET /ok", 200): 2, ("GET /fail", 503): 1})
    assert_answered(d, {("GET /ok", 200): 1}, "baseline")


def test_a_server_that_restarts_on_its_port_goes_on_being_counted(tmp_path, started, watching):
    port = net.free_port()
    first = started(servers.app(tmp_path, "first", port=port))
    w = watching(port)
    for _ in range(5):
        ask(port, "GET", "/ok")
    net.await_closed(port)
    first.stop()
    second = started(servers.app(tmp_path, "second", port=port))
    for _ in range(5):
        ask(port, "GET", "/fail")
    d = w.stop()
    assert_answered(d, counts(first.exchanges(5) + second.exchanges(5)))


def test_workers_forked_after_the_attach_belong_to_their_masters_version(tmp_path, started, watching):
    port = net.free_port()
    server = started(servers.Logged(
        [sys.executable, os.path.join(servers.SERVERS, "prefork.py"), "--port", port], tmp_path, "prefork", port))
    w = watching(versions={"v1": ("baseline", {"pid": server.pid})}, serving=[port])
    for n in range(1, 4):
        server.child.kill(signal.SIGUSR1)
        for _ in range(4):
            ask(port, "GET", f"/generation/{'abc'[n - 1]}")
    d = w.stop()
    assert len({line[3] for line in server.lines()}) >= 1
    assert_answered(d, counts(server.exchanges(12)))


def test_nginx_workers_replaced_by_a_reload_are_still_counted(nginx, watching):
    server = nginx(workers=2)
    w = watching(versions={"v1": ("baseline", {"pid": server.pid})}, serving=[server.port])
    before = set(children(server.pid))
    for _ in range(5):
        ask(server.port, "GET", "/ok")
    server.child.kill(signal.SIGHUP)
    until(lambda: children(server.pid) and not before & set(children(server.pid)), "new workers")
    for _ in range(5):
        ask(server.port, "GET", "/missing")
    d = w.stop()
    assert_answered(d, counts(server.exchanges(10)))


def test_sigint_and_sigterm_end_a_watch_early_with_the_same_final_document(nginx, watching):
    server, other = nginx(), net.free_port()
    for number in (signal.SIGINT, signal.SIGTERM):
        w = watching(versions={"v1": ("baseline", {"listen": str(server.port)}), "v2": ("canary", {"listen": str(other)})},
                     serving=[server.port], args=["--for", "1h"])
        done = len(server.log())
        for target in ("/ok", "/missing"):
            ask(server.port, "GET", target)
        d = w.stop(number)
        assert_answered(d, counts(server.exchanges(done + 2)[done:]))
        assert d["service"] == "shop" and d["run"] and d["seconds"] < 60
        assert d["started"].startswith("20") and d["started"].endswith("Z")
        assert d["verdict"]["schema"] == "tillwatch.verdict/1" and d["verdict"]["verdict"] == "hold"


def test_a_watch_ends_by_itself_after_the_time_it_was_given(nginx, watching):
    server = nginx()
    w = watching(server.port, args=["--for", "2s"])
    for _ in range(5):
        ask(server.port, "GET", "/ok")
    code = w.child.proc.wait(20)
    d = watch.Document(w.stdout(), w.stderr())
    assert code == 0
    assert_answered(d, counts(server.exchanges(5)))
    assert 1.9 <= d["seconds"] <= 3


def test_a_watch_survives_its_stdout_being_closed(nginx, watching):
    server = nginx()
    w = watching(server.port, json_output=False, args=["--for", "1s"])
    ask(server.port, "GET", "/ok")
    assert w.child.proc.wait(20) in (0, 1)


def test_two_observers_on_one_port_both_count_everything(nginx, watching):
    server = nginx()
    first, second = watching(server.port), watching(server.port)
    for i in range(20):
        ask(server.port, "GET", ("/ok", "/boom")[i % 2])
    expected = counts(server.exchanges(20))
    assert_counts(first.stop().counts(), expected)
    ask(server.port, "GET", "/ok")
    d = second.stop()
    assert d.requests() == 21


def programs_of(pid):
    """The ids of BPF programs that this process holds, itself or through a link."""
    out = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
                out |= {int(line.split()[1]) for line in f if line.startswith("prog_id:")}
        except FileNotFoundError:
            pass  # closed meanwhile
    return out


def attached_to_cgroups():
    out = json.loads(subprocess.run(["bpftool", "-j", "cgroup", "tree"], capture_output=True, check=True).stdout)
    return {p["id"] for group in out for p in group["programs"]}


def test_a_killed_tillwatch_leaves_servers_serving_and_no_program_behind(nginx, watching):
    server = nginx()
    w = watching(server.port)
    with Client(server.port) as c:
        c.ask("GET", "/ok")
        mine = programs_of(w.pid)
        assert mine & attached_to_cgroups(), "no program of tillwatch is attached to a cgroup: the test sees nothing"
        w.child.stop(signal.SIGKILL)
        until(lambda: not mine & attached_to_cgroups(), "the programs to be detached")
        assert c.ask("GET", "/ok").status == 200
    assert ask(server.port, "GET", "/missing").status == 404
    until(lambda: not mine & {p["id"] for p in json.loads(
        subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout)},
        "the programs to be freed")


def test_a_clean_end_leaves_no_program_behind(nginx, watching):
    server = nginx()
    w = watching(server.port)
    mine = programs_of(w.pid)
    w.stop()
    assert mine and not mine & attached_to_cgroups()


def test_attaching_and_detaching_under_load_harms_no_request(tmp_path, nginx, watching):
    server = nginx()
    stop, bad = threading.Event(), []

    def client():
        try:
            with Client(server.port) as c:
                while not stop.is_set():
                    if c.ask("GET", "/ok").status != 200:
                        bad.append("not 200")
        except OSError as e:
            bad.append(e)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        for _ in range(3):
            watching(server.port).stop(idle=True)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not bad


def test_an_observer_that_is_stopped_for_a_while_loses_nothing(nginx, watching):
    """SIGSTOP: aggregation is the kernel's; and unknown routes wait in the ring."""
    server = nginx()
    w = watching(server.port)
    ask(server.port, "GET", "/ok")
    w.child.kill(signal.SIGSTOP)
    with Client(server.port) as c:
        for i in range(300):
            c.ask("GET", ("/ok", "/missing", f"/new/{'abcdefghij'[i % 10]}")[i % 3])
    w.child.kill(signal.SIGCONT)
    d = w.stop()
    assert_answered(d, counts(server.exchanges(301)))


def test_the_first_answer_seen_of_an_open_connection_may_come_byte_by_byte(watching):
    """It is not passed over: its request would get the next one's."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = []

    def answer(status, piece):
        sock = server[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert sock.recv(65536).endswith(b"\r\n\r\n")
        text = b"HTTP/1.1 %d Status\r\nContent-Length: 2\r\n\r\nok" % status
        for i in range(0, len(text), piece):
            sock.sendall(text[i:i + piece])

    with Client(listener.getsockname()[1]) as c:
        server.append(listener.accept()[0])
        c.send(request("GET", "/before"))
        answer(200, 1000)
        assert c.answer().status == 200
        w = watching(listener.getsockname()[1])
        for target, status, piece in (("/pieces", 500, 1), ("/whole", 200, 1000)):
            c.send(request("GET", target))
            answer(status, piece)
            assert c.answer().status == status
    server[0].close()
    d = w.stop()
    listener.close()
    assert_answered(d, {("GET /pieces", 500): 1, ("GET /whole", 200): 1})
