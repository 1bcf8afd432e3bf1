# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Servers that speak TLS, each with a configuration of its own in the test's directory. exchanges(n) is what it logged.
Those that are proxies (see fronts.py) ask over plaintext.
"""
import os
import subprocess

from . import fronts, net, servers
from .fronts import Requests, need, nginx_front

def nginx(tmp, pem, app=None, settings="", server="", upstream="http", http="", **more):
    """settings: of http{}; upstream: how /app/ is asked, http or https."""
    need("nginx")
    server += nginx_front(app, upstream)
    protocols = "" if "ssl_protocols" in settings else "ssl_protocols TLSv1.2 TLSv1.3;"
    http = f"ssl_certificate {pem}; ssl_certificate_key {pem}; {protocols} {settings} {http}"
    return servers.Nginx(tmp, options=more.pop("options", "") + " ssl", http=http, server=server, **more)


class Haproxy(servers.Haproxy):
    def __init__(self, tmp, pem, app, bind="", **more):
        need("haproxy")
        super().__init__(tmp, {"app": (app.port, 1)}, bind=f"ssl crt {pem} {bind}", **more)

    def exchanges(self, n=None):
        return super().exchanges(n)["app"]


class Apache(fronts.Apache):
    """
    mod_ssl. It closes idle connections when all threads of a process are at work: there are more threads than a test has
    connections.
    """

    THREADS = """
ServerLimit 2
ThreadsPerChild 64
MaxRequestWorkers 128
"""

    def __init__(self, tmp, pem, app, settings="", name="apache"):
        super().__init__(tmp, pem, app, self.THREADS + settings, name)


class Lighttpd(Requests):
    """mod_gnutls. Writes its log when it ends."""

    CONF = """
server.document-root = "{dir}/files"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ( "mod_gnutls", "mod_proxy", "mod_accesslog", "mod_redirect" )
server.errorlog = "{dir}/error.log"
server.max-keep-alive-requests = 100000
server.max-keep-alive-idle = 60
server.max-connections = 1000
accesslog.filename = "{dir}/access.log"
accesslog.format = "%m %r %s"
mimetype.assign = ( "" => "text/plain" )
ssl.engine = "enable"
ssl.pemfile = "{pem}"
{settings}
url.redirect = ( "^/moved" => "/ok" )
$HTTP["url"] =~ "^/app/" {{
	proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => {app} ) ) )
	proxy.header = ( "map-urlpath" => ( "/app/" => "/" ) )
}}
"""

    def __init__(self, tmp, pem, app, settings="", name="lighttpd"):
        need("lighttpd", "/usr/lib/lighttpd/mod_gnutls.so")
        directory = tmp / name
        (directory / "files").mkdir(parents=True)
        (directory / "files" / "ok").write_bytes(b"ok\n")
        port = net.free_port()
        conf = directory / "lighttpd.conf"
        conf.write_text(self.CONF.format(dir=directory, port=port, pem=pem, app=app.port, settings=settings))
        self.log_file = directory / "access.log"
        super().__init__(["/usr/sbin/lighttpd", "-D", "-f", conf], directory / "out.log", port)

    def line(self, text):
        method, _, target, _, status = text.split(" ")
        return method, target, int(status)

    def exchanges(self, n=None):
        self.stop()
        out = self.lines()
        assert n is None or len(out) == n, f"{len(out)} requests in the log, not {n}"
        return out


class Caddy(fronts.Caddy):
    """Go's crypto/tls, HTTP/1.1 only."""

    def __init__(self, tmp, pem, app, name="caddy"):
        super().__init__(tmp, pem, app, "h1", name)


class Prometheus(servers.Server):
    """Go's crypto/tls. It writes no log: its own counter of requests is the oracle, by handler and status."""

    def __init__(self, tmp, pem, name="prometheus"):
        need("prometheus")
        directory = tmp / name
        directory.mkdir()
        port = net.free_port()
        web, conf = directory / "web.yml", directory / "prometheus.yml"
        web.write_text(f"tls_server_config: {{ cert_file: {pem}, key_file: {pem} }}\n"
                       "http_server_config: { http2: false }\n")
        conf.write_text("global: {}\n")
        super().__init__(["prometheus", f"--config.file={conf}", f"--web.config.file={web}",
                          f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={directory}/data",
                          "--log.level=error"], directory / "out.log", port)

    @staticmethod
    def counted(text):
        """(handler, status) -> n, of what /metrics says."""
        out = {}
        for line in text.split("\n"):
            if line.startswith("prometheus_http_requests_total{"):
                labels, n = line[line.index("{") + 1:].split("} ")
                label = dict(pair.split("=", 1) for pair in labels.replace('"', "").split(","))
                out[label["handler"], int(label["code"])] = int(float(n))
        return out


class GnutlsServ(servers.Server):
    """gnutls-serv --http: HTTP/1.0, one request a connection. It writes no log of requests."""

    def __init__(self, tmp, pem, name="gnutls-serv"):
        need("gnutls-serv")
        port = net.free_port()
        super().__init__(["gnutls-serv", "--http", "--quiet", "--port", port, "--x509certfile", pem, "--x509keyfile", pem],
                         tmp / f"{name}.out", port)


def python_threads(tmp, pem, name="threading", options=(), **child):
    return servers.threading_server(tmp, name, options=["--tls", pem, *options], **child)


def python_asyncio(tmp, pem, name="asyncio", options=(), **child):
    return servers.app(tmp, name, options=["--tls", pem, *options], **child)


def node(tmp, pem, name="node", **child):
    return servers.node(tmp, name, options=["--tls", pem], **child)


# ---- servers/tls_server.c ------------------------------------------------------------------------------------------

ANDROID = "/usr/lib/x86_64-linux-gnu/android"
BUILDS = {  # what the program is linked with
    "shared": ["-lssl", "-lcrypto"],
    "static": ["-l:libssl.a", "-l:libcrypto.a"],
    "stripped": ["-l:libssl.a", "-l:libcrypto.a", "-s"],
    "boringssl": ["-I/usr/include/android", f"-L{ANDROID}", "-lssl", "-lcrypto", f"-Wl,-rpath,{ANDROID}"],
}
NEEDS = {"boringssl": (f"{ANDROID}/libssl.so", "/usr/include/android/openssl/ssl.h")}


def build(directory, kind):
    """Compiles servers/tls_server.c and returns the program's path."""
    need("/usr/include/openssl/ssl.h", *NEEDS.get(kind, ()))
    out = directory / f"tls_server_{kind}"
    if not out.exists():
        subprocess.run(["gcc", "-O2", "-Wall", "-D_GNU_SOURCE", "-o", out, os.path.join(servers.SERVERS, "tls_server.c"),
                        "-pthread", *BUILDS[kind]], check=True)
    return out


def c_server(program, tmp, pem, name="c", port=None, options=(), **child):
    port = port or net.free_port()
    return servers.Logged([program, "--port", port, "--tls", pem, *options], tmp, name, port, **child)


def java(tmp, pem, name="java"):
    """servers/HttpsShop.java, by the launcher that compiles it."""
    need("java", "javac")
    port, store = net.free_port(), tmp / f"{name}.p12"
    subprocess.run(["openssl", "pkcs12", "-export", "-in", pem, "-out", store, "-passout", "pass:shop1234"], check=True)
    return servers.Logged(["java", "-XX:TieredStopAtLevel=1", os.path.join(servers.SERVERS, "HttpsShop.java"), store,
                           "shop1234", "--port", port], tmp, name, port)


# ---- any of them ---------------------------------------------------------------------------------------------------

FRONTS = {"nginx": nginx, "haproxy": Haproxy, "apache": Apache, "lighttpd": Lighttpd, "caddy": Caddy}
OWN = {"prometheus": Prometheus, "gnutls-serv": GnutlsServ, "threads": python_threads, "asyncio": python_asyncio,
       "node": node, "java": java}


def start(kind, tmp, pem, app, program, name=None, **more):
    """
    kind: one of FRONTS or OWN, or a build of tls_server.c and its options, as in "static --event". prefix of what is
    returned: where app's targets are found.
    """
    if kind in FRONTS:
        server = FRONTS[kind](tmp, pem, app, name=name or kind, **more)
        server.prefix = "" if kind == "haproxy" else "/app"
        return server
    if kind in OWN:
        server = OWN[kind](tmp, pem, name=name or kind, **more)
    else:
        build_of, *options = kind.split()
        server = c_server(program(build_of), tmp, pem, name or kind.replace(" ", ""), options=options + more.pop("options", []),
                          **more)
    server.prefix = ""
    return server
