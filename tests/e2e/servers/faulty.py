# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A server that misbehaves as the request asks. `Answer: length 1000` (or `chunked 1000`, `close 1000`) is what it would
say (with status 200, or that of `Status: 999`), `Script:` what it does instead, step by step:

  read        take the request's body              send N       answer up to its byte N; "head" is the head's length
  take N      take N more request heads            rest         answer to the end
  wait MS     stall                                gone         wait until the client has closed or reset
  close       close                                reset        close with an RST
  file PATH   wait until there is such a file
  sent        wait until the client has acknowledged all (a close that resets throws away what waits to be sent)

A script that ends goes on with the next request. Reads not a byte further than it has to (over TLS: not a record): what
lies unread when it closes makes the kernel send an RST. --tls FILE: over TLS, with that key and certificate; closes
without close_notify, or with --goodbye with one (and --patient: waits for the client's). The log has a line a request: target, descriptor, time of reading
(CLOCK_MONOTONIC).
"""
import argparse
import array
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
import threading
import time


class Gone(Exception):
    """The connection has ended."""


def answer(status, kind, size):
    """The head's length, and the whole."""
    body = b"x" * size
    if kind == "chunked":
        half = size // 2
        body = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (half, b"x" * half, size - half, b"x" * (size - half))
    framing = {"length": f"Content-Length: {size}", "chunked": "Transfer-Encoding: chunked", "close": "Connection: close"}
    head = f"HTTP/1.1 {status} OK\r\n{framing[kind]}\r\n\r\n".encode()
    return len(head), head + body


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.left = 0  # bytes of the request's body
        self.kept = b""  # what a record held beyond what was wanted
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, n):
        data, self.kept = self.kept[:n], self.kept[n:]
        return data or self.sock.recv(n)

    def up_to_end(self, data):
        """More of a head that begins with data."""
        if context:
            more = self.recv(65536)
        else:
            more = self.sock.recv(65536, socket.MSG_PEEK)
        if not more:
            raise Gone
        end = (data + more).find(b"\r\n\r\n")
        n = len(more) if end < 0 else end + 4 - len(data)
        if context:
            self.kept = more[n:] + self.kept
            return more[:n]
        return self.sock.recv(n)

    def head(self):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.up_to_end(data)
        lines = data.decode("latin-1").split("\r\n")
        headers = {name.title(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
        self.left = int(headers.get("Content-Length", 0))
        os.write(log, f"{lines[0].split(' ')[1]} {self.sock.fileno()} {time.monotonic():.6f}\n".encode())
        return headers

    def body(self):
        while self.left:
            data = self.recv(min(self.left, 65536))
            if not data:
                raise Gone
            self.left -= len(data)

    def sent(self):
        n = array.array("i", [1])
        while n[0]:
            fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, n)
            time.sleep(0.0005)

    def gone(self):
        while self.recv(65536):
            pass
        # A good-bye is not the end yet: what is sent before the FIN is there may find a socket that resets, unread.
        end = select.poll()
        end.register(self.sock, select.POLLRDHUP)
        end.poll()

    def close(self):
        if args.goodbye:
            self.sock.settimeout(None if args.patient else 0)
            try:
                self.sock.unwrap()
            except OSError:
                pass  # its answer is not waited for, or does not come
        raise Gone

    def serve(self):
        headers = self.head()
        kind, size = headers["Answer"].split(" ")
        head, whole = answer(headers.get("Status", "200"), kind, int(size))
        sent = 0
        for step in headers["Script"].split("; "):
            verb, _, of = step.partition(" ")
            if verb == "read":
                self.body()
            elif verb == "take":
                for _ in range(int(of)):
                    self.head()
            elif verb in ("send", "rest"):
                to = len(whole) if verb == "rest" else sum(head if v == "head" else int(v) for v in of.split("+"))
                self.sock.sendall(whole[sent:to])
                sent = to
            elif verb == "wait":
                time.sleep(int(of) / 1000)
            elif verb == "file":
                while not os.path.exists(of):
                    time.sleep(0.005)
            elif verb == "gone":
                self.gone()
            elif verb == "sent":
                self.sent()
            elif verb == "close":
                self.close()
            elif verb == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise Gone
            else:
                raise ValueError(step)

    def run(self):
        try:
            if context:
                self.sock.do_handshake()
            while True:
                self.serve()
        except (Gone, OSError):
            pass
        finally:
            self.sock.close()


args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args.add_argument("--host", default="127.0.0.1")
args.add_argument("--log", required=True)
args.add_argument("--single", action="store_true", help="one connection at a time")
args.add_argument("--tls")
args.add_argument("--goodbye", action="store_true")
args.add_argument("--patient", action="store_true", help="with --goodbye: wait for the client's before closing")
args.add_argument("--user-timeout", type=int, default=0, help="milliseconds (TCP_USER_TIMEOUT)")
args = args.parse_args()
context = None
if args.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.tls)
    context.num_tickets = 0  # a client that leaves with tickets unread would reset
log = os.open(args.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
listener = socket.create_server((args.host, args.port), backlog=128)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, args.user_timeout)
while True:
    sock = listener.accept()[0]
    if context:
        sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
    connection = Connection(sock)
    if args.single:
        connection.run()
    else:
        threading.Thread(target=connection.run, daemon=True).start()
    del connection, sock
