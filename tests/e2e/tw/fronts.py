# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Web servers of other people as fronts of servers/app.py, whose targets they serve as /app/...: what tls_servers.py and
h2_servers.py have in common. Each has a configuration of its own in the test's directory.
"""
import json
import os
import shutil

import pytest

from . import net, servers
from .wait import until

MODULES = "/usr/lib/apache2/modules"


def need(*programs):
    """Skips a test whose server is not installed."""
    for p in programs:
        if not (os.path.exists(p) if "/" in p else shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin")):
            pytest.skip(f"{p} is not installed")


class Requests(servers.Server):
    """A server whose log has lines of METHOD TARGET STATUS, in whatever form line() understands."""

    log_file = None

    def line(self, text):
        method, target, status = text.split(" ")
        return method, target, int(status)

    def lines(self):
        if not self.log_file.exists():
            return []
        return [self.line(text) for text in self.log_file.read_text(encoding="latin-1").split("\n")[:-1]]

    def exchanges(self, n=None):
        if n is not None:
            until(lambda: len(self.lines()) >= n, lambda: f"{n} requests in the log; it has {len(self.lines())}")
        return self.lines()


def nginx_front(app, upstream="http"):
    """The part of nginx's configuration that asks app, by http or https; nothing without one."""
    return f"""
        location /app/ {{
            proxy_pass {upstream}://127.0.0.1:{app.port}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}""" if app else ""


class Apache(Requests):
    """Event MPM. Never Debian's service, nor its configuration."""

    CONF = """
ServerRoot {dir}
DefaultRuntimeDir {dir}
PidFile {dir}/apache.pid
ServerName shop.example
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
User www-data
Group www-data
StartServers 2
MaxKeepAliveRequests 0
KeepAliveTimeout 30
ErrorLog {dir}/error.log
LogFormat "{log}" tw
CustomLog {dir}/access.log tw
{settings}
RedirectMatch 404 ^/missing
RedirectMatch 302 ^/moved /app/ok
RedirectMatch 503 ^/boom
ProxyPass /app/ http://127.0.0.1:{app}/
"""
    TLS = f"""
LoadModule ssl_module {MODULES}/mod_ssl.so
SSLEngine on
SSLCertificateFile {{pem}}
"""

    def __init__(self, tmp, pem, app, settings, name, log="%m %U%q %>s"):
        """pem: a file with a key and its certificate, or None; settings: more of them; log: the form of a line."""
        need("apache2")
        directory = tmp / name
        directory.mkdir()
        port = net.free_port()
        conf = directory / "apache.conf"
        if pem:
            need(f"{MODULES}/mod_ssl.so")
            settings = self.TLS.format(pem=pem) + settings
        conf.write_text(self.CONF.format(dir=directory, port=port, modules=MODULES, app=app.port, log=log, settings=settings))
        self.log_file = directory / "access.log"
        super().__init__(["/usr/sbin/apache2", "-f", conf, "-DFOREGROUND"], directory / "out.log", port)


class Caddy(Requests):
    """Go's net/http and crypto/tls. No automatic certificates, no administration."""

    CONF = """
{{
	admin off
	auto_https off
	servers {{
		protocols {protocols}
	}}
}}
{scheme}://:{port} {{
	bind 127.0.0.1
	{tls}
	log {{
		output file {dir}/access.log
		format json
	}}
	handle_path /app/* {{
		reverse_proxy 127.0.0.1:{app}
	}}
	handle /missing* {{
		respond 404
	}}
	handle /boom* {{
		respond "no" 503
	}}
	handle /files/* {{
		root * {dir}
		file_server
	}}
	handle {{
		respond "ok"
	}}
}}
"""

    def __init__(self, tmp, pem, app, protocols, name):
        """pem: a file with a key and its certificate, or None; protocols: h1, h2, h2c."""
        need("caddy")
        directory = tmp / name
        (directory / "files").mkdir(parents=True)
        (directory / "files" / "big").write_bytes(b"x" * (2 << 20))
        port = net.free_port()
        conf = directory / "Caddyfile"
        conf.write_text(self.CONF.format(dir=directory, port=port, app=app.port, protocols=protocols,
                                         scheme="https" if pem else "http", tls=f"tls {pem} {pem}" if pem else ""))
        self.log_file = directory / "access.log"
        env = {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
        super().__init__(["caddy", "run", "--config", conf, "--adapter", "caddyfile"], directory / "out.log", port, env=env)

    def line(self, text):
        return self.entry(json.loads(text))

    def entry(self, v):
        return v["request"]["method"], v["request"]["uri"], v["status"]
