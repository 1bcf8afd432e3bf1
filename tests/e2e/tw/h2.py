# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
HTTP/2 frame by frame, either side of a connection: frames are made of exact bytes and sent in whatever pieces a test wants,
and what comes is read strictly, so that it can be an oracle. Header blocks are hpack's.
"""
import struct
import threading
import time

import hpack

from .client import Client as Connection

MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, _, _, _, _, REFUSED_STREAM, CANCEL, _, _, ENHANCE_YOUR_CALM = range(12)
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST = range(1, 7)
ENABLE_CONNECT = 8
FRAME = 16384  # the largest payload that everybody takes
WINDOW = 65535  # with which windows begin
LARGEST = 2**31 - 1


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _padded(payload, pad):
    return payload if pad is None else bytes([pad]) + payload + bytes(pad)


def header_frames(stream, block, end=False, pad=None, priority=None, parts=1):
    """HEADERS and, with parts > 1 or a block that is larger than a frame, CONTINUATIONs. priority: (dependency, weight)."""
    size = min(max(1, -(-len(block) // parts)), FRAME - 300)
    pieces = [block[i:i + size] for i in range(0, len(block), size)] or [b""]
    first = (struct.pack(">IB", *priority) if priority else b"") + pieces[0]
    flags = ((END_STREAM if end else 0) | (PADDED if pad is not None else 0) | (WITH_PRIORITY if priority else 0)
             | (END_HEADERS if len(pieces) == 1 else 0))
    return frame(HEADERS, flags, stream, _padded(first, pad)) + _continued(stream, pieces[1:])


def _continued(stream, pieces):
    return b"".join(frame(CONTINUATION, END_HEADERS if i == len(pieces) - 1 else 0, stream, piece)
                    for i, piece in enumerate(pieces))


def data_frame(stream, data, end=False, pad=None):
    return frame(DATA, (END_STREAM if end else 0) | (PADDED if pad is not None else 0), stream, _padded(data, pad))


def data_frames(stream, data, end=False, size=FRAME):
    pieces = [data[i:i + size] for i in range(0, len(data), size)] or [b""]
    return b"".join(data_frame(stream, piece, end and i == len(pieces) - 1) for i, piece in enumerate(pieces))


def promise_frame(stream, promised, block):
    return frame(PUSH_PROMISE, END_HEADERS, stream, struct.pack(">I", promised) + block)


def rst_frame(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway_frame(last, code=NO_ERROR):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


def settings_frame(settings=None):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in (settings or {}).items()))


def window_frame(stream, more):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


def priority_frame(stream, dependency=0, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", dependency, weight))


SETTINGS_ACK = frame(SETTINGS, ACK)


class Stream:
    """What has come on a stream."""

    def __init__(self, number, window=WINDOW):
        self.number = number
        self.headers = None   # of the request, or of the final answer
        self.interim = []     # statuses of the 1xx answers before it
        self.trailers = None
        self.body = bytearray()
        self.messages = 0     # DATA frames that carried something
        self.ended = False    # END_STREAM has come
        self.error = None     # the code of an RST_STREAM that has come
        self.refused = False  # a GOAWAY below it has come
        self.promises = []    # the numbers of the streams that were promised on it
        self.asked = None     # when its first byte was sent
        self.first = self.last = None  # when the final answer began, and its last byte came
        self.window = window  # what may be sent on it

    @property
    def status(self):
        return int(self.headers[":status"]) if self.headers else None

    @property
    def over(self):
        return self.ended or self.error is not None or self.refused


class Peer:
    """
    One side of a connection, over a socket that has recv and sendall. Acknowledges SETTINGS and PING by itself. lock is
    held while a block is encoded and sent: blocks must leave in the order in which they were made.
    """

    def __init__(self, sock, client, acknowledging=True):
        self.sock, self.client, self.acknowledging = sock, client, acknowledging
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.streams, self.promised = {}, {}
        self.lock = threading.RLock()
        self.buf = b""
        self.next = 1 if client else 2
        self.end = None        # eof, reset: the other side's doing
        self.goaway = None     # (last stream, code)
        self.acknowledged = 0  # of our SETTINGS
        self.settings = {}     # the other side's
        self.window = WINDOW   # what may be sent on all streams together
        self.pings = 0

    # ---- sending

    def send(self, *pieces):
        self.sock.sendall(b"".join(pieces))

    def preface(self, settings=None, window=LARGEST):
        """Settings, and room for all that the other side could send."""
        settings = {INITIAL_WINDOW: window} | (settings or {})
        if TABLE_SIZE in settings:
            self.decoder.max_allowed_table_size = max(4096, settings[TABLE_SIZE])
        more = window_frame(0, window - WINDOW) if window > WINDOW else b""
        self.send(MAGIC if self.client else b"", settings_frame(settings), more)

    def block(self, pairs, huffman=True):
        return self.encoder.encode(pairs, huffman=huffman)

    def resize(self, size):
        """The encoder's table; the next block says so. (hpack forgets to if it is told the same twice.)"""
        if size != self.encoder.header_table_size:
            self.encoder.header_table_size = size

    def stream(self, number):
        if number not in self.streams:
            self.streams[number] = Stream(number, self.settings.get(INITIAL_WINDOW, WINDOW))
        return self.streams[number]

    def new_stream(self):
        s = self.stream(self.next)
        self.next += 2
        return s

    def send_body(self, stream, data, end=True, size=FRAME):
        """As the windows allow; reads what comes meanwhile."""
        data = bytes(data)
        while True:
            while data and min(self.window, stream.window) <= 0 and not stream.over:
                assert self.receive(), "the connection ended inside a body"
            if stream.over:
                return
            piece = data[:max(0, min(self.window, stream.window, size))]
            data = data[len(piece):]
            self.window -= len(piece)
            stream.window -= len(piece)
            self.send(data_frame(stream.number, piece, end and not data))
            if not data:
                return

    def answer(self, stream, status=200, body=b"", headers=(), trailers=None, end=True):
        """The whole answer of a server, in one write if the windows allow. stream: its number."""
        with self.lock:
            out = header_frames(stream, self.block([(":status", str(status)), *headers]),
                                end and not body and trailers is None)
            if body:
                out += data_frames(stream, body, end and trailers is None)
            if trailers is not None:
                out += header_frames(stream, self.block(list(trailers)), end)
            self.send(out)

    # ---- receiving

    def _frame(self):
        """(kind, flags, stream, payload); None at the end of the connection."""
        while True:
            if len(self.buf) >= 9:
                n = 9 + int.from_bytes(self.buf[:3], "big")
                if len(self.buf) >= n:
                    head, payload = self.buf[:9], self.buf[9:n]
                    self.buf = self.buf[n:]
                    return head[3], head[4], struct.unpack(">I", head[5:])[0] & LARGEST, payload
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                self.end = "reset"
                return None
            if not data:
                self.end = "eof"
                return None
            self.buf += data

    def expect_magic(self):
        """A server's: the client's first 24 bytes. False when the connection ended before."""
        while len(self.buf) < len(MAGIC):
            data = self.sock.recv(65536)
            if not data:
                self.end = "eof"
                return False
            self.buf += data
        assert self.buf.startswith(MAGIC), self.buf[:40]
        self.buf = self.buf[len(MAGIC):]
        return True

    def receive(self):
        """Reads a frame and takes note of it; the frame, or None when the connection has ended."""
        got = self._frame()
        if not got:
            return None
        kind, flags, number, payload = got
        if kind == SETTINGS:
            self._on_settings(flags, payload)
        elif kind == PING and not flags & ACK and self.acknowledging:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == PING:
            self.pings += 1
        elif kind == GOAWAY:
            last, code = struct.unpack(">II", payload[:8])
            self.goaway = last & LARGEST, code
            for s in self.streams.values():
                s.refused = s.refused or (s.number % 2 == (1 if self.client else 0) and s.number > last & LARGEST)
        elif kind == WINDOW_UPDATE:
            more = struct.unpack(">I", payload)[0]
            if number:
                self.stream(number).window += more
            else:
                self.window += more
        elif kind == RST_STREAM:
            s = self.stream(number)
            s.error = struct.unpack(">I", payload)[0]
        elif kind == DATA:
            self._on_data(flags, number, payload)
        elif kind in (HEADERS, PUSH_PROMISE):
            self._on_headers(kind, flags, number, payload)
        return got

    def _on_settings(self, flags, payload):
        if flags & ACK:
            self.acknowledged += 1
            return
        for i in range(0, len(payload), 6):
            key, value = struct.unpack(">HI", payload[i:i + 6])
            if key == INITIAL_WINDOW:
                for s in self.streams.values():
                    s.window += value - self.settings.get(INITIAL_WINDOW, WINDOW)
            with self.lock:
                if key == TABLE_SIZE and value < self.encoder.header_table_size:
                    self.resize(value)
            self.settings[key] = value
        if self.acknowledging:
            self.send(SETTINGS_ACK)

    def _on_data(self, flags, number, payload):
        if flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        s = self.stream(number)
        s.body += payload
        s.messages += bool(payload)
        s.last = time.monotonic()
        s.ended = s.ended or bool(flags & END_STREAM)

    def _on_headers(self, kind, flags, number, payload):
        if flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        if kind == HEADERS and flags & WITH_PRIORITY:
            payload = payload[5:]
        now, more = time.monotonic(), flags
        while not more & END_HEADERS:
            got = self._frame()
            assert got and got[0] == CONTINUATION and got[2] == number, f"no CONTINUATION but {got}"
            more = got[1]
            payload += got[3]
        s = self.stream(number)
        if kind == PUSH_PROMISE:
            promised = struct.unpack(">I", payload[:4])[0]
            s.promises.append(promised)
            self.promised[promised] = dict(self.decoder.decode(payload[4:]))
            return
        headers = dict(self.decoder.decode(payload))
        status = headers.get(":status", "")
        if s.headers is not None:
            s.trailers = headers
        elif status.startswith("1"):
            s.interim.append(int(status))
        else:
            s.headers, s.first = headers, now
        s.last = now
        s.ended = bool(flags & END_STREAM)


class Client(Peer):
    """One connection to a server that is known to speak HTTP/2; tls: True, or a context that says h2."""

    def __init__(self, port, host="127.0.0.1", tls=None, settings=None, window=LARGEST, preface=True, acknowledging=True,
                 **more):
        """more: as for client.Client. preface: False sends nothing yet."""
        if tls is True:
            tls = context()
        self.connection = Connection(port, host, tls=tls, **more)
        super().__init__(self.connection.sock, True, acknowledging)
        if tls:
            assert self.sock.tls.selected_alpn_protocol() == "h2", "the server does not offer h2"
        if preface:
            self.preface(settings, window)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def reset(self):
        self.connection.reset()

    def half_close(self):
        self.connection.half_close()

    def settle(self):
        """Waits until both sides have the other's SETTINGS: the server has nothing more to say of itself."""
        while not self.acknowledged or not self.settings and self.acknowledging:
            assert self.receive(), "the connection ended before it began"

    def request_head(self, method, path, headers=(), authority="shop.example", scheme="http"):
        pairs = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *headers]
        return self.block(pairs)

    def ask(self, method, path, body=None, headers=(), end=True, trailers=None, **how):
        """Sends a request; body None: none, b"": an empty DATA frame. how: as for header_frames. Returns its stream."""
        s = self.new_stream()
        block = self.request_head(method, path, headers)
        s.asked = time.monotonic()
        self.send(header_frames(s.number, block, end and body is None and trailers is None, **how))
        if body is not None:
            self.send_body(s, body, end and trailers is None)
        if trailers is not None:
            self.send(header_frames(s.number, self.block(list(trailers)), end))
        return s

    def wait(self, *streams):
        """Reads until these streams are over, or the connection has ended."""
        while not all(s.over for s in streams) and self.receive():
            pass
        return streams[0] if len(streams) == 1 else list(streams)

    def get(self, path, method="GET", **more):
        return self.wait(self.ask(method, path, **more))

    def until(self, condition):
        while not condition():
            if not self.receive():
                raise AssertionError(f"the connection has ended: {self.end}")


def context(version=None):
    from . import tls
    return tls.context(version, alpn=("h2",))


def serve(sock, answer, settings=None, table=None):
    """
    A server's side of a connection, in the thread that calls it: answer(peer, stream) is called for each request that is
    whole, in the order in which they became so. table: the size that its own header table has once the client has said that
    it may. Returns the peer when the connection has ended.
    """
    peer = Peer(sock, False)
    if not peer.expect_magic():
        return peer
    peer.preface(settings)
    done = set()
    while got := peer.receive():
        if table is not None and got[0] == SETTINGS and not got[1] & ACK:
            peer.resize(table)
        s = peer.streams.get(got[2])
        if s and s.ended and s.headers and s.number not in done:
            done.add(s.number)
            answer(peer, s)
    return peer
