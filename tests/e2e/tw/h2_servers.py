# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Servers that speak HTTP/2, over plaintext with prior knowledge (tls=None) or over TLS by ALPN (tls: a file with a key and its
certificate). exchanges(n) is what each logged, connections() the number of connections on which it was asked.
"""
import os
import subprocess

from . import fronts, net, servers
from .fronts import MODULES, need, nginx_front
from .proc import Child


class Nginx(servers.Nginx):
    """Its log says that it was HTTP/2, or the test fails. A port without TLS speaks nothing else."""

    def __init__(self, tmp, pem=None, app=None, name="nginx", http="", server="", **more):
        need("nginx")
        if pem:
            http += f" ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.2 TLSv1.3;"
        server += nginx_front(app) + f" access_log {tmp / name}/access.log tw; access_log {tmp / name}/protocol.log protocol;"
        http += (" log_format protocol '$server_protocol'; http2_max_concurrent_streams 1000; "
                 "client_body_buffer_size 2m; http2_recv_buffer_size 256k;")
        super().__init__(tmp, name=name, options=("ssl " if pem else "") + "http2", http=http, server=server, **more)

    def exchanges(self, n=None):
        out = super().exchanges(n)
        with open(self.dir / "protocol.log", encoding="ascii") as f:
            assert set(f.read().split()) <= {"HTTP/2.0"}
        return out

    def connections(self):
        return len({line.connection for line in self.log()})


class Haproxy(servers.Haproxy):
    """HTTP/2 in front; towards what is behind it HTTP/1.1, or HTTP/2 with server="proto h2"."""

    def __init__(self, tmp, pem, app, server="", name="haproxy", **more):
        need("haproxy")
        super().__init__(tmp, {"app": (app.port, 1)}, bind=f"ssl crt {pem} alpn h2" if pem else "proto h2", server=server,
                         name=name, **more)

    def exchanges(self, n=None):
        return [e for of in super().exchanges(n).values() for e in of]


class Apache(fronts.Apache):
    """mod_http2; over plaintext with prior knowledge and by upgrade."""

    SETTINGS = f"""
LoadModule http2_module {MODULES}/mod_http2.so
ServerLimit 3
ThreadsPerChild 20
MaxRequestWorkers 60
H2MaxSessionStreams 1000
Protocols {{protocol}} http/1.1
"""

    def __init__(self, tmp, pem, app, name="apache", protocols=("HTTP/2.0",)):
        """protocols: those that may be in its log."""
        need(f"{MODULES}/mod_http2.so")
        self.protocols, self.ports = set(protocols), set()
        super().__init__(tmp, pem, app, self.SETTINGS.format(protocol="h2" if pem else "h2c"), name,
                         log="%m %U%q %>s %H %{remote}p")

    def line(self, text):
        method, target, status, protocol, remote = text.split(" ")
        assert protocol in self.protocols, text
        self.ports.add(remote)
        return method, target, int(status)

    def connections(self):
        self.lines()
        return len(self.ports)


class Caddy(fronts.Caddy):
    """Go's net/http2."""

    def __init__(self, tmp, pem, app, name="caddy"):
        self.remotes = set()
        super().__init__(tmp, pem, app, "h1 h2" if pem else "h1 h2c", name)

    def entry(self, v):
        assert v["request"]["proto"] == "HTTP/2.0", v
        self.remotes.add(v["request"]["remote_port"])
        return super().entry(v)

    def connections(self):
        self.lines()
        return len(self.remotes)


class Node(servers.Logged):
    """servers/h2_server.js: its log has a line a stream that it was asked: what it said, and how the stream ended."""

    def __init__(self, tmp, pem=None, name="node-h2", options=(), **child):
        need("node")
        port = net.free_port()
        super().__init__(["node", os.path.join(servers.SERVERS, "h2_server.js"), "--port", port,
                          *(["--tls", pem] if pem else []), *options], tmp, name, port, **child)

    def connections(self):
        return len({v[4] for v in self.lines()})

    def seconds(self, target):
        """By the server's own clock: from when it was asked to when the last byte was handed to its socket."""
        return [float(v[3]) for v in self.lines() if v[1] == target]


KINDS = {"nginx": Nginx, "haproxy": Haproxy, "apache": Apache, "caddy": Caddy, "node": Node}
FRONTS = ("nginx", "haproxy", "apache", "caddy")  # proxies: /app/... is servers/app.py's, with haproxy all is


def start(kind, tmp, pem, app, name=None, **more):
    """prefix of what is returned: where app's targets are found."""
    name = name or kind + ("-tls" if pem else "")
    if kind == "node":
        server = Node(tmp, pem, name=name, **more)
    else:
        server = KINDS[kind](tmp, pem, app, name=name, **more)
    server.prefix = "/app" if kind in ("nginx", "apache", "caddy") else ""
    return server


# ---- clients that are programs -------------------------------------------------------------------------------------


def url(server, target, tls_too):
    return f"http{'s' if tls_too else ''}://{server.host}:{server.port}{target}"


class H2load:
    """h2load: `requests` in all, on `clients` connections with up to `streams` at once on each, over the targets in turn."""

    def __init__(self, tmp, server, targets, requests=None, clients=8, streams=16, tls=False, seconds=None, data=None, name="h2load",
                 headers=()):
        need("h2load")
        how = ["-D", str(seconds)] if seconds else ["-n", str(requests)]
        if data is not None:
            file = tmp / f"{name}.data"
            file.write_bytes(data)
            how += ["-d", str(file)]
        for h in headers:
            how += ["-H", h]
        self.child = Child(["h2load", *how, "-c", str(clients), "-m", str(streams), "-t", "1",
                            *[url(server, t, tls) for t in targets]], tmp / f"{name}.out")
        self.seconds = seconds

    def wait(self, seconds=60):
        """What it says in the end: {"total": …, "succeeded": …, "failed": …, "errored": …, "timeout": …, …}."""
        assert self.child.proc.wait((self.seconds or 0) + seconds) == 0, self.child.log_text()
        for line in self.child.log_text().split("\n"):
            if line.startswith("requests: "):
                return {name: int(n) for n, name in (part.split(" ", 1) for part in line[len("requests: "):].split(", "))}
        raise AssertionError(self.child.log_text())

    def stop(self):
        self.child.stop()


def nghttp(server, targets, tls_too=False, options=()):
    """Asks for the targets, all at once on one connection; what it says of them."""
    need("nghttp")
    done = subprocess.run(["nghttp", "-nv", *options, *[url(server, t, tls_too) for t in targets]],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def curl(server, targets, tls_too=False, options=("--http2",)):
    """[(status, version)] of the targets, one after the other on one connection."""
    need("curl")
    argv = ["curl", "-sk", *options]
    for t in targets:
        argv += ["-o", "/dev/null", url(server, t, tls_too)]
    done = subprocess.run([*argv, "-w", "%{http_code} %{http_version}\n"], capture_output=True, text=True, timeout=30,
                          check=True)
    return [(int(status), version) for status, version in (line.split(" ") for line in done.stdout.split("\n")[:-1])]
