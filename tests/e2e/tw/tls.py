# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
TLS for the harness: a certificate made when it is needed, and a client's socket that decides which records it sends and
how it says good-bye, so that a test can put any byte of the ciphertext where it wants it.
"""
import array
import fcntl
import socket
import ssl
import struct
import subprocess
import termios

HEADER = 5
AT_ONCE = 65536  # whoever wants as much as this at once need not leave the next record in the kernel


def make_certificate(directory):
    """A key and a certificate that it has signed itself, in one file; its path."""
    key, cert, pem = (directory / name for name in ("key.pem", "cert.pem", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example,IP:127.0.0.1", "-keyout", key,
         "-out", cert], check=True, capture_output=True)
    pem.write_bytes(cert.read_bytes() + key.read_bytes())
    pem.chmod(0o600)
    return pem


def context(version=None, ciphers=None, alpn=("http/1.1",)):
    """A client's. version: "1.2" or "1.3" for that one alone; ciphers: of TLS 1.2, as OpenSSL names them."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if version:
        c.minimum_version = c.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    if ciphers:
        c.set_ciphers(ciphers)
    if alpn:
        c.set_alpn_protocols(list(alpn))
    return c


class Socket:
    """
    A client's TLS connection over a connected TCP socket, with the methods of a socket that the harness uses. Reads no
    record before somebody wants a byte of it. One sendall() of several pieces: a record each, one TCP write.
    together: the end of the handshake waits for what is sent first (TLS 1.3), and leaves in the same write.
    """

    def __init__(self, sock, context, server_hostname="shop.example", session=None, together=False):
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=server_hostname, session=session)
        self._said_goodbye = False
        if not self._do(lambda: self.tls.do_handshake() or True):
            raise ConnectionError("closed inside the handshake")
        if not together:
            self._flush()

    def __getattr__(self, name):
        """fileno, setsockopt, getsockopt, settimeout, getsockname: the TCP socket's."""
        return getattr(self.sock, name)

    def _flush(self):
        data = self._out.read()
        if data:
            self.sock.sendall(data)

    def _exactly(self, n):
        out = b""
        while len(out) < n:
            data = self.sock.recv(n - len(out))
            if not data:
                break
            out += data
        return out

    def _record(self, greedy=False):
        """Feeds the next record, or as much as there is; false at the end of the TCP stream."""
        if greedy:
            data = self.sock.recv(262144)
        else:
            data = self._exactly(HEADER)
            if len(data) == HEADER:
                data += self._exactly(struct.unpack(">H", data[3:])[0])
        if data:
            self._in.write(data)
        return bool(data)

    def _do(self, step, greedy=False):
        """Calls step until it needs nothing more from the peer; None when the TCP stream ended first."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._record(greedy):
                    return None

    def recv(self, n):
        """b"" at the peer's close_notify and at the end of the TCP stream alike."""
        try:
            return self._do(lambda: self.tls.read(n), n >= AT_ONCE) or b""
        except ssl.SSLZeroReturnError:
            return b""
        finally:
            self._flush_if_open()

    def _flush_if_open(self):
        """Answers to a key update or a renegotiation; the peer may be gone by now."""
        try:
            self._flush()
        except OSError:
            pass

    def encrypted(self, *pieces):
        """The ciphertext of these pieces, a record (or more) each, not sent."""
        for piece in pieces:
            if piece:
                self.tls.write(piece)
        return self._out.read()

    def sendall(self, *pieces):
        self.sock.sendall(self.encrypted(*pieces))

    def goodbye(self):
        """Sends close_notify, does not wait for the peer's."""
        if self._said_goodbye:
            return
        self._said_goodbye = True
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the peer's close_notify has not come
        self._flush_if_open()

    def shutdown(self, how):
        self.goodbye()
        self.sock.shutdown(how)

    def end(self):
        """Reads on to the end of the TCP stream, which comes after close_notify. False when that was a reset."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionError:
            return False
        return not self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def unread(self):
        """Bytes of ciphertext that wait in the kernel."""
        n = array.array("i", [0])
        fcntl.ioctl(self.sock.fileno(), termios.FIONREAD, n)
        return n[0]

    def close(self):
        self.sock.close()


class OverRawTcp:
    """A client's TLS over a rawtcp.RawTcp that is connected; shakes hands when it is made."""

    def __init__(self, tcp, context):
        self.tcp = tcp
        self._fed = 0
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="shop.example")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._send()
                tcp.wait(lambda: len(tcp.received) > self._fed, "the server's part of the handshake")
                self._in.write(tcp.received[self._fed:])
                self._fed = len(tcp.received)
        self._send()

    def _send(self):
        data = self._out.read()
        if data:
            self.tcp.segment(data)

    def send(self, data):
        """A record and a segment."""
        self.tls.write(data)
        self._send()


def connect(port, tls, host="127.0.0.1", timeout=30):
    sock = socket.create_connection((host, port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Socket(sock, tls)
