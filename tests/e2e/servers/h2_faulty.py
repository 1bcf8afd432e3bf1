# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
An HTTP/2 server that misbehaves as each request asks. `answer: N` is the size of what it would say (with status 200),
`script:` what it does instead, step by step, streams of a connection side by side:

  head        send the answer's HEADERS            send N       its body up to byte N, the HEADERS first
  rest        answer to the end                    trailers     the same, and end with trailers
  hints       send a 103 first                     force        answer to the end though nobody wants it any more
  rst CODE    reset the stream                     goaway N     GOAWAY, the last stream is this one plus N
  close       close the connection                 reset        close it with an RST
  shut        close this side only                 wait MS      stall
  body        wait for the request's END_STREAM    take N       wait until N requests have come on the connection
  gone        wait until the client has reset the stream, or the connection has ended
  file PATH   wait until there is such a file

Does nothing before the client has acknowledged its SETTINGS: nothing lies unread when it closes. --tls FILE: over TLS, with
that key and certificate; closes without close_notify. The log has lines of TARGET NUMBER WHEN SECONDS WHAT…: `asked`
when a request has come (CLOCK_MONOTONIC), and how each stream ended as this side saw it, in the words of tw/faults.py.
"""
import argparse
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tw import h2  # noqa: E402


CLOSED = 7  # as TCP_INFO tells it: by a reset, since this side has not closed


class Exchange:
    """A stream, its script and how far that has come."""

    def __init__(self, stream, played):
        self.stream = stream
        self.target = stream.headers[":path"]
        self.script = played
        self.ready = lambda: True  # what the script waits for
        self.head = False          # the final answer has begun
        self.outcome = None
        self.began = time.monotonic()


class Served:
    def __init__(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.peer = h2.Peer(sock, False)
        self.exchanges = {}
        self.over = None  # close, reset: what a script has asked for
        self.last = h2.LARGEST  # no stream beyond is served, as GOAWAY said, with this code
        self.code = h2.NO_ERROR

    def ended(self, e, name, place=False):
        """First come, first served: what ended it."""
        if e.outcome:
            return
        if place:
            name += " mid_response" if e.head else " before_first_byte"
        e.outcome = name + (" 200" if e.head else "")
        write(f"{e.target} {e.stream.number} {time.monotonic():.6f} {time.monotonic() - e.began:.6f} {e.outcome}")

    def all_ended(self, name, place=False, cut=None):
        for e in self.exchanges.values():
            self.ended(e, cut if cut and e.head else name, place)

    def go_away(self, last, code):
        self.last, self.code = last, code
        self.peer.send(h2.goaway_frame(max(0, last), code))
        self.refuse()

    def refuse(self):
        for e in self.exchanges.values():
            if e.stream.number > self.last:
                self.ended(e, "unanswered" if self.code else "withdrawn")

    # ---- scripts

    def begin(self, e, size):
        if not e.head:
            e.head = True
            self.peer.send(h2.header_frames(e.stream.number, self.peer.block(
                [(":status", "200"), ("content-length", str(size))])))

    def body(self, e, data, end, force=False):
        s = e.stream
        while True:
            yield lambda: force or s.error is not None or min(self.peer.window, s.window) > 0
            if s.error is not None and not force:
                return
            n = len(data) if force else min(self.peer.window, s.window, h2.FRAME)
            piece, data = data[:n], data[n:]
            self.peer.window -= len(piece)
            s.window -= len(piece)
            self.peer.send(h2.data_frame(s.number, piece, end and not data))
            if not data:
                break
        if end:
            self.ended(e, "answered")

    def play(self, s):
        e = self.exchanges[s.number]
        size, sent = int(s.headers["answer"]), 0
        for step in s.headers["script"].split("; "):
            verb, _, of = step.partition(" ")
            if verb == "head":
                self.begin(e, size)
            elif verb == "hints":
                self.peer.send(h2.header_frames(s.number, self.peer.block([(":status", "103"), ("link", "</x>")])))
            elif verb in ("send", "rest", "trailers", "force"):
                to = int(of) if verb == "send" else size
                self.begin(e, size)
                yield from self.body(e, b"x" * (to - sent), verb in ("rest", "force"), verb == "force")
                sent = to
                if verb == "trailers":
                    self.peer.send(h2.header_frames(s.number, self.peer.block([("x-sum", "1")]), True))
                    self.ended(e, "answered")
            elif verb == "rst":
                self.peer.send(h2.rst_frame(s.number, int(of)))
                self.ended(e, "reset_by_server", True)
            elif verb == "goaway":
                self.go_away(s.number + int(of), h2.NO_ERROR)
            elif verb == "panic":
                self.go_away(s.number + int(of), h2.INTERNAL_ERROR)
            elif verb == "end":
                self.peer.send(h2.data_frame(s.number, b"", True))
                self.ended(e, "truncated")
            elif verb == "wait":
                until = time.monotonic() + int(of) / 1000
                yield lambda: time.monotonic() >= until
            elif verb == "file":
                yield lambda: os.path.exists(of)
            elif verb == "gone":
                yield lambda: s.error is not None
            elif verb == "body":
                yield lambda: s.ended
            elif verb == "take":
                yield lambda: len(self.exchanges) >= int(of)
            elif verb == "shut":
                self.sock.shutdown(socket.SHUT_WR)
                self.all_ended("unanswered", cut="truncated")
            elif verb in ("close", "reset"):
                self.over = verb
                return
            else:
                raise ValueError(step)

    # ---- the connection

    def heard(self):
        """Takes what has come; False at the end of the connection."""
        try:
            data = self.sock.recv(262144)
            while data and context and self.sock.pending():
                data += self.sock.recv(262144)
        except (ConnectionResetError, ssl.SSLError):
            self.all_ended("reset_by_client", True)
            return False
        if not data:
            # Python's SSL reads an end of the stream where there was a reset.
            state = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            self.all_ended("reset_by_client" if state == CLOSED else "client_abandoned", True)
            return False
        peer = self.peer
        peer.buf += data
        while len(peer.buf) >= 9 and len(peer.buf) >= 9 + int.from_bytes(peer.buf[:3], "big"):
            s = peer.streams.get(peer.receive()[2])
            if not s or not s.headers or s.number in self.exchanges:
                continue
            e = self.exchanges[s.number] = Exchange(s, None)
            e.script = self.play(s)
            write(f"{e.target} {s.number} {e.began:.6f} 0 asked")
        for e in self.exchanges.values():
            if e.stream.error is not None:
                self.ended(e, "reset_by_client", True)
        self.refuse()
        return True

    def step(self):
        """Goes on with every script as far as it can."""
        for e in list(self.exchanges.values()):
            while e.script and not self.over and e.ready():
                try:
                    e.ready = next(e.script)
                except StopIteration:
                    e.script = None

    def run(self):
        try:
            if context:
                self.sock.do_handshake()
            if not self.peer.expect_magic():
                return
            self.peer.preface()
            while not self.over:
                waiting = any(e.script for e in self.exchanges.values())
                if select.select([self.sock], [], [], 0.005 if waiting else None)[0] and not self.heard():
                    return
                if self.peer.acknowledged:
                    self.step()
            if self.over == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.all_ended("reset_by_server", True)
            else:
                self.all_ended("unanswered", cut="truncated")
        except OSError:  # it was writing when the client went away
            self.all_ended("reset_by_client", True)
        finally:
            self.sock.close()


def write(line):
    os.write(log, line.encode() + b"\n")


args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args.add_argument("--host", default="127.0.0.1")
args.add_argument("--log", required=True)
args.add_argument("--tls")
args = args.parse_args()
context = None
if args.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.tls)
    context.set_alpn_protocols(["h2"])
    context.num_tickets = 0  # a client that leaves with tickets unread would reset
log = os.open(args.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
listener = socket.create_server((args.host, args.port), backlog=128)
while True:
    accepted = listener.accept()[0]
    if context:
        accepted = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=Served(accepted).run, daemon=True).start()
    del accepted
