# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
http.server.ThreadingHTTPServer, or with --single the one-request-at-a-time HTTPServer. /sleep/MS answers after MS
milliseconds, /size/N with N bytes, /missing 404, anything else 200. GET, HEAD, POST and OPTIONS; other methods get the
library's own 501. Behind each line of the log: when the request was read, and when its answer had been written, in seconds
of the monotonic clock. --tls FILE: over TLS, with that key and certificate; the handshake is made by the thread that
serves, or with --accepting by the one that accepts.
"""
import argparse
import http.server
import os
import ssl
import time

args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args.add_argument("--log", required=True)
args.add_argument("--single", action="store_true")
args.add_argument("--tls")
args.add_argument("--accepting", action="store_true")
args = args.parse_args()
log = os.open(args.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def record(self, status):
        self.wfile.flush()
        line = f"{self.command} {self.path} {status} {self.asked:.6f} {time.monotonic():.6f}\n"
        os.write(log, line.encode("latin-1"))

    def parse_request(self):
        self.asked = time.monotonic()
        return super().parse_request()

    def send_error(self, code, message=None, explain=None):
        super().send_error(code, message, explain)
        if getattr(self, "path", None):
            self.record(code)

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.split("/")
        if parts[1:2] == ["sleep"]:
            time.sleep(float(parts[2]) / 1000)
        status = 404 if parts[1:2] == ["missing"] else 200
        body = b"x" * int(parts[2]) if parts[1:2] == ["size"] else b"ok\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if args.single:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.record(status)

    do_GET = do_HEAD = do_POST = do_OPTIONS = answer

    def log_message(self, *_):
        pass


kind = http.server.HTTPServer if args.single else http.server.ThreadingHTTPServer


class Server(kind):
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # clients that leave

    def finish_request(self, request, address):
        if args.tls and not args.accepting:
            request.do_handshake()
        super().finish_request(request, address)


server = Server(("127.0.0.1", args.port), Handler)
if args.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.tls)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=args.accepting)
server.serve_forever()
