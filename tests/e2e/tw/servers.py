# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The servers. Each is started as a child process, awaited by connecting, ended by pid, and tells by its own log or count
what it served: that is the oracle.
"""
import collections
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

from . import net
from .proc import Child
from .wait import until

SERVERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "servers")


class Server:
    """A child process that listens."""

    def __init__(self, argv, log, port, host="127.0.0.1", wait=True, **child):
        self.port, self.host = port, host
        self.child = Child(argv, log, **child)
        self.pid = self.child.pid
        if wait:
            try:
                net.await_listener(port, host, alive=self.child.alive)
            except AssertionError as e:
                raise AssertionError(f"{e}: {self.child.log_text()}") from None

    def stop(self, number=signal.SIGTERM):
        return self.child.stop(number)


LogLine = collections.namedtuple(
    "LogLine", "time seconds status method uri connection nth sent upstream upstream_status upstream_seconds")

NGINX_CONF = """
daemon off;
master_process on;
user root;
worker_processes {workers};
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
worker_rlimit_nofile 10000;
events {{ worker_connections 4096; }}
http {{
    log_format tw '$msec\\t$request_time\\t$status\\t$request_method\\t$request_uri\\t$connection'
                  '\\t$connection_requests\\t$bytes_sent\\t$upstream_addr\\t$upstream_status'
                  '\\t$upstream_response_time';
    access_log {dir}/access.log tw;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    large_client_header_buffers 4 16k;
    client_max_body_size 100m;
    tcp_nodelay on;
    sendfile on;
    {http}
    server {{
        listen {listen};
        default_type text/plain;
        root {dir}/files;
        location / {{ return 200 "ok\\n"; }}
        location /missing {{ return 404; }}
        location /boom {{ return 503; }}
        location /empty {{ return 204; }}
        location /unchanged {{ return 304; }}
        location /files/ {{ alias {dir}/files/; }}
        {server}
    }}
}}
"""


class Nginx(Server):
    def __init__(self, tmp, name="nginx", host="127.0.0.1", options="", server="", http="", workers=1, port=None,
                 program="nginx", **child):
        self.dir = tmp / name
        (self.dir / "files").mkdir(parents=True)
        port = port or net.free_port(host)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        conf = self.dir / "nginx.conf"
        conf.write_text(NGINX_CONF.format(dir=self.dir, listen=f"{address} {options}", http=http, server=server,
                                          workers=workers))
        self.access_log = self.dir / "access.log"
        super().__init__([program, "-p", self.dir, "-e", self.dir / "error.log", "-c", conf], self.dir / "out.log",
                         port, host, **child)

    def stop(self, number=signal.SIGTERM):
        return super().stop(number)

    def file(self, name, data):
        (self.dir / "files" / name).write_bytes(data)

    def lines(self):
        with open(self.access_log, encoding="utf-8", errors="replace") as f:
            for line in f:
                if not line.endswith("\n"):
                    return
                v = line.rstrip("\n").split("\t")
                yield LogLine(float(v[0]), float(v[1]), int(v[2]), v[3], v[4], int(v[5]), int(v[6]), int(v[7]), v[8],
                              v[9], v[10])

    def log(self, n=None, seconds=10):
        """The access log; with n, once it has n lines (nginx writes a line after the last byte of the response)."""
        if n is not None:
            until(lambda: sum(1 for _ in self.lines()) >= n,
                  lambda: f"{n} lines in the access log; it has {sum(1 for _ in self.lines())}", seconds)
        return list(self.lines())

    def exchanges(self, n=None):
        return [(l.method, l.uri, l.status) for l in self.log(n)]


class Haproxy(Server):
    """A front that splits requests over backends, round robin; its log arrives on a UDP socket of ours."""

    CONF = """
global
    log 127.0.0.1:{log_port} format raw local0
    maxconn 2000
    {settings}
defaults
    mode http
    log global
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    option http-keep-alive
    log-format "%ST %HM %HU %b %s %Ta %Tr"
frontend front
    bind 127.0.0.1:{port} {bind}
    default_backend shop
backend shop
    balance roundrobin
    http-reuse {reuse}
{servers}
"""

    def __init__(self, tmp, backends, reuse="safe", name="haproxy", bind="", server="", settings=""):
        """backends: name -> (port, weight); bind, server: what is added to those lines; settings: to the global ones."""
        self.dir = tmp / name
        self.dir.mkdir()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(10)
        port = net.free_port()
        servers = "\n".join(f"    server {n} 127.0.0.1:{p} weight {w} {server}" for n, (p, w) in backends.items())
        conf = self.dir / "haproxy.cfg"
        conf.write_text(self.CONF.format(log_port=self.udp.getsockname()[1], port=port, reuse=reuse, servers=servers,
                                         bind=bind, settings=settings))
        super().__init__(["haproxy", "-db", "-f", conf], self.dir / "out.log", port)

    def stop(self, number=signal.SIGUSR1):
        self.udp.close()
        return super().stop(signal.SIGTERM)

    def exchanges(self, n):
        """The log lines of n requests: server -> [(method, target, status)]. Connections without a request (our own
        probe for the listener) are logged with <BADREQ>, over TLS in words, and left out."""
        out, seen = collections.defaultdict(list), 0
        while seen < n:
            line = self.udp.recv(65536).decode("latin-1").strip()
            if line.endswith("during SSL handshake"):
                continue
            status, method, uri, _, server, _, _ = line.split(" ")
            if method == "<BADREQ>" or server == "<NOSRV>":
                continue
            out[server].append((method, uri, int(status)))
            seen += 1
        return out


class Logged(Server):
    """A server of ours that writes "METHOD TARGET STATUS" lines, each after the last byte of the response."""

    def __init__(self, argv, tmp, name, port, host="127.0.0.1", **child):
        self.log_file = tmp / f"{name}.requests"
        self.log_file.touch()
        super().__init__([*argv, "--log", self.log_file], tmp / f"{name}.out", port, host, **child)

    def lines(self):
        text = self.log_file.read_text(encoding="latin-1")
        return [line.split(" ") for line in text.split("\n")[:-1]]

    def exchanges(self, n=None):
        if n is not None:
            until(lambda: len(self.lines()) >= n, lambda: f"{n} requests in the log; it has {len(self.lines())}")
        return [(v[0], v[1], int(v[2])) for v in self.lines()]


def app(tmp, name="app", port=None, host="127.0.0.1", options=(), **child):
    """The small asyncio shop, servers/app.py."""
    port = port or net.free_port(host)
    return Logged([sys.executable, os.path.join(SERVERS, "app.py"), "--port", port, "--host", host, *options], tmp, name,
                  port, host, **child)


def threading_server(tmp, name="threading", port=None, options=(), **child):
    """http.server.ThreadingHTTPServer; with --single, http.server.HTTPServer."""
    port = port or net.free_port()
    return Logged([sys.executable, os.path.join(SERVERS, "threading_server.py"), "--port", port, *options], tmp, name, port,
                  **child)


def node(tmp, name="node", options=(), **child):
    port = net.free_port()
    return Logged([shutil.which("node"), os.path.join(SERVERS, "server.js"), "--port", port, *options], tmp, name, port,
                  **child)


def build_uring(directory, name="uring_server", build_id=None):
    """Compiles servers/uring_server.c and returns the program's path."""
    out = directory / name
    flags = [f"-Wl,--build-id=0x{build_id}"] if build_id else []
    subprocess.run(["gcc", "-O2", "-Wall", "-o", out, os.path.join(SERVERS, "uring_server.c"), "-luring", *flags],
                   check=True)
    return out


def uring(program, tmp, name="uring", port=None, **child):
    port = port or net.free_port()
    return Logged([program, "--port", port], tmp, name, port, **child)


class RawConnection:
    """The server's end of a connection, for servers that need to say exact bytes."""

    def __init__(self, sock):
        self.sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""

    def request_head(self):
        """(method, target, headers) of the next request, None at the end of the connection."""
        while b"\r\n\r\n" not in self.buf:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buf += data
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        return method, target, headers

    def exactly(self, n):
        while len(self.buf) < n:
            data = self.sock.recv(262144)
            if not data:
                raise ConnectionError("closed inside a body")
            self.buf += data
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def line(self):
        while b"\r\n" not in self.buf:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("closed inside a body")
            self.buf += data
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line

    def body(self, headers):
        if "chunked" in headers.get("transfer-encoding", ""):
            out = b""
            while size := int(self.line().split(b";")[0], 16):
                out += self.exactly(size)
                assert self.line() == b""
            while self.line():
                pass
            return out
        return self.exactly(int(headers.get("content-length", 0)))

    def request(self):
        """(method, target, headers, body), body read to its end."""
        head = self.request_head()
        return head and (*head, self.body(head[2]))

    def send(self, *pieces):
        """One piece: one write. Several: a segment each."""
        if len(pieces) == 1:
            self.sock.sendall(pieces[0])
        else:
            net.send_pieces(self.sock, pieces)

    def read_until_close(self):
        out = self.buf
        while data := self.sock.recv(65536):
            out += data
        return out

    def reset(self):
        net.reset(self.sock)


class RawServer:
    """
    A server in this very process whose handler(connection) speaks raw bytes; a thread a connection. Failures in a
    handler are kept and raised by close().
    """

    def __init__(self, handler, host="127.0.0.1", options=()):
        self.handler = handler
        self.host = host
        self.port = net.free_port(host)
        self.failures = []
        self._threads = []
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for level, name, value in options:
            self._listener.setsockopt(level, name, value)
        self._listener.bind((host, self.port))
        self._listener.listen(128)
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            t = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            t.start()
            self._threads.append(t)  # not before: a thread that has not started is not alive either

    def _serve(self, sock):
        sock.settimeout(30)
        try:
            self.handler(RawConnection(sock))
        except Exception as e:
            self.failures.append(e)
        finally:
            sock.close()

    def idle(self):
        """True when there was a connection and every handler has returned."""
        return self._threads and not any(t.is_alive() for t in self._threads)

    def join(self):
        """Waits until every handler has returned; raises what one of them raised."""
        until(self.idle, "the raw server's handlers", 20)
        if self.failures:
            raise self.failures[0]

    def close(self):
        # A shutdown wakes the thread in accept(); close() alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepter.join()


def answering(answers):
    """A handler that answers each request by its target: target -> pieces (bytes, or a list of bytes)."""

    def handler(c):
        while got := c.request():
            pieces = answers[got[1]]
            c.send(*([pieces] if isinstance(pieces, bytes) else pieces))

    return handler
