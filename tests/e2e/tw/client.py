# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
An HTTP/1 client that sends the exact bytes it is given and parses answers strictly, so that it can be an oracle.
"""
import socket
import time

from . import net, tls as tlslib


class Answer:
    def __init__(self, status, headers, body, interim, seconds, first_byte):
        self.status = status
        self.headers = headers
        self.body = body
        self.interim = interim        # statuses of the 1xx answers before it
        self.seconds = seconds        # from the start of the request to the last byte of the answer
        self.first_byte = first_byte  # to the first byte of the answer (of the first 1xx, if there was one)


class Client:
    """One connection."""

    def __init__(self, port, host="127.0.0.1", timeout=20, receive_buffer=None, tls=None, goodbye=True, **more):
        """
        tls: a context of tls.context(), or True for the usual one; more: as for tls.Socket. goodbye: close() says
        close_notify first.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.goodbye = goodbye and bool(tls)
        if tls:
            self.sock = tlslib.Socket(self.sock, tlslib.context() if tls is True else tls, **more)
        self.buf = b""
        self.started = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.goodbye:
            self.sock.goodbye()
        self.sock.close()

    def reset(self):
        net.reset(self.sock)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, *pieces):
        """One piece: one write. Several: a segment each, over TLS a record."""
        self.started = time.monotonic()
        if len(pieces) == 1:
            self.sock.sendall(pieces[0])
        else:
            net.send_pieces(self.sock, pieces)

    def _more(self):
        data = self.sock.recv(262144)
        self.buf += data
        return bool(data)

    def _until(self, mark):
        while mark not in self.buf:
            if not self._more():
                raise ConnectionError(f"closed before {mark!r}; had {self.buf[:200]!r}")
        head, self.buf = self.buf.split(mark, 1)
        return head

    def _exactly(self, n):
        parts, have = [self.buf], len(self.buf)
        while have < n:
            data = self.sock.recv(262144)
            if not data:
                raise ConnectionError(f"closed {n - have} bytes early")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buf = whole[n:]
        return whole[:n]

    def _chunked(self):
        body = b""
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        while self._until(b"\r\n"):
            pass
        return body

    def _until_close(self):
        while self._more():
            pass
        body, self.buf = self.buf, b""
        return body

    def _body(self, method, status, headers):
        if method == "HEAD" or status in (204, 304) or 100 <= status < 200:
            return b""
        if "chunked" in headers.get("transfer-encoding", ""):
            return self._chunked()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self._until_close()

    def head(self):
        """Status and headers of the next answer, 1xx included."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        return int(lines[0].split(" ")[1]), headers

    def answer(self, method="GET"):
        interim, first = [], None
        while True:
            if not self.buf:
                self._more()
            first = first or time.monotonic()
            status, headers = self.head()
            if status == 101 or not 100 <= status < 200:
                break
            interim.append(status)
        body = self._body(method, status, headers)
        now = time.monotonic()
        return Answer(status, headers, body, interim, now - self.started, first - self.started)

    def ask(self, method, target, body=b"", headers=(), version="1.1"):
        """A request in one write, and its answer."""
        self.send(request(method, target, body, headers, version))
        return self.answer(method)

    def closed_by_server(self):
        """Reads on; true when the server has closed."""
        try:
            return not self.buf and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def request(method, target, body=b"", headers=(), version="1.1"):
    lines = [f"{method} {target} HTTP/{version}", "Host: shop.example"]
    lines += list(headers)
    if body and "Transfer-Encoding: chunked" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(body_parts):
    """A body in chunked coding, one chunk a part."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in body_parts)
    return out + b"0\r\n\r\n"


def ask(port, method, target, host="127.0.0.1", tls=None, **more):
    """One request on a connection of its own."""
    with Client(port, host, tls=tls) as c:
        return c.ask(method, target, **more)
