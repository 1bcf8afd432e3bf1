# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A TCP client in user space behind a TUN device: it decides which segments the server's kernel gets, in which order, how
often, and whether anything is ever acknowledged. The server is a real one, on the kernel's side of the device.

Addresses are from 198.18.0.0/15 (RFC 2544), which nothing real uses. The device goes when its descriptor is closed.
"""
import fcntl
import ipaddress
import os
import random
import select
import socket
import struct
import subprocess
import time

from .wait import until

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
MODULUS = 1 << 32


def unavailable():
    """Why there can be no TUN device here, or None."""
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun is missing"
    try:
        Tun().close()
    except (OSError, subprocess.CalledProcessError) as e:
        return f"no TUN device: {e}"
    return None


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Tun:
    """server: the address of the kernel's side; client: of ours."""

    def __init__(self):
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            self._bring_up()
        except BaseException:
            os.close(self.fd)
            raise

    def _bring_up(self):
        made = fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", b"twe%d", IFF_TUN | IFF_NO_PI))
        name = made[:16].rstrip(b"\0").decode()
        # No other device of this host has its number, nor so these addresses.
        base = ipaddress.IPv4Address("198.18.0.0") + socket.if_nametoindex(name) % (1 << 15) * 4
        self.server, self.client = str(base + 1), str(base + 2)
        for command in (["addr", "add", f"{self.server}/30", "dev", name], ["link", "set", name, "up"]):
            subprocess.run(["ip", *command], check=True, capture_output=True)
        self.name = name

    def close(self):
        os.close(self.fd)

    def write(self, packet):
        os.write(self.fd, packet)

    def read(self, seconds):
        """The next packet, None when there was none in time."""
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return None
        return os.read(self.fd, 65536)


class Segment:
    def __init__(self, packet):
        ihl = (packet[0] & 15) * 4
        total = struct.unpack("!H", packet[2:4])[0]
        (self.sport, self.dport, self.seq, self.ack, offset, self.flags,
         self.window) = struct.unpack("!HHIIBBH", packet[ihl:ihl + 16])
        self.data = packet[ihl + (offset >> 4) * 4:total]
        self.arrived = time.monotonic()


class RawTcp:
    """
    One connection. Positions of data are offsets from the first byte after the handshake. Everything the server sends
    is acknowledged at once unless `acknowledging` is false.
    """

    def __init__(self, tun, port, isn=None, mss=1400, window=65535, options=b""):
        """options: of every segment after the SYN; a multiple of 4 bytes."""
        self.tun, self.port = tun, port
        self.sport = random.randrange(33000, 60000)
        self.isn = random.randrange(MODULUS) if isn is None else isn
        self.mss, self.window, self.options = mss, window, options
        self.sent = 0            # bytes sent so far, in order
        self.acked = 0           # of these, acknowledged
        self.peer_isn = None
        self.received = b""      # in order
        self.pending = {}        # offset -> data that arrived ahead
        self.segments = []       # every segment the server sent
        self.acknowledging = True
        self.finished = False    # the server's FIN has arrived
        self.reset = False       # the server's RST has arrived

    # --- out ---

    def _write(self, seq, ack, flags, data=b"", options=b"", bad_checksum=False):
        options = options or self.options
        head = struct.pack("!HHIIBBHHH", self.sport, self.port, seq % MODULUS, ack % MODULUS,
                           (5 + len(options) // 4) << 4, flags, self.window, 0, 0) + options
        source, destination = socket.inet_aton(self.tun.client), socket.inet_aton(self.tun.server)
        pseudo = source + destination + struct.pack("!BBH", 0, 6, len(head) + len(data))
        c = checksum(pseudo + head + data) ^ (0x5555 if bad_checksum else 0)
        tcp = head[:16] + struct.pack("!H", c) + head[18:] + data
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), random.randrange(65536), 0x4000, 64, 6, 0, source,
                         destination)
        self.tun.write(ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp)

    def _ack_number(self):
        return self.peer_isn + 1 + len(self.received) + (1 if self.finished else 0)

    def segment(self, data, at=None, flags=ACK | PSH, bad_checksum=False):
        """One segment with data at an offset (default: next in order). An offset given does not move the stream on."""
        offset = self.sent if at is None else at
        self._write(self.isn + 1 + offset, self._ack_number(), flags, data, bad_checksum=bad_checksum)
        if at is None:
            self.sent += len(data)

    def ack(self):
        self._write(self.isn + 1 + self.sent, self._ack_number(), ACK)

    def fin(self, data=b""):
        """FIN, with data in the same segment."""
        self._write(self.isn + 1 + self.sent, self._ack_number(), ACK | FIN | PSH, data)
        self.sent += len(data) + 1

    def abort(self):
        self._write(self.isn + 1 + self.sent, self._ack_number(), RST | ACK)

    def connect(self, data=b"", last_ack=True):
        """The handshake; data travels in its last ACK, which may not come."""
        self._write(self.isn, 0, SYN, options=struct.pack("!BBH", 2, 4, self.mss))
        until(lambda: self.pump(0.05) or self.peer_isn is not None, "the SYN/ACK", 5)
        if last_ack:
            self._write(self.isn + 1, self.peer_isn + 1, ACK | (PSH if data else 0), data)
        self.sent = len(data)
        return self

    # --- in ---

    def pump(self, seconds=0.0):
        """Takes in what has arrived; waits up to `seconds` for the first packet."""
        while True:
            packet = self.tun.read(seconds)
            if packet is None:
                return
            seconds = 0
            if packet[0] >> 4 == 4 and packet[9] == 6:
                s = Segment(packet)
                if s.sport == self.port and s.dport == self.sport:
                    self._take(s)

    def _take(self, s):
        self.segments.append(s)
        if s.flags & RST:
            self.reset = True
            return
        if s.flags & SYN:
            self.peer_isn = s.seq
            return
        if s.flags & ACK:
            self.acked = max(self.acked, (s.ack - self.isn - 1) % MODULUS)
        offset = (s.seq - self.peer_isn - 1) % MODULUS
        if s.data:
            self.pending[offset] = s.data
        while True:
            ready = [o for o in self.pending if o <= len(self.received)]
            if not ready:
                break
            data = self.pending.pop(ready[0])
            self.received += data[len(self.received) - ready[0]:]
        if s.flags & FIN and offset + len(s.data) == len(self.received):
            self.finished = True
        if self.acknowledging and (s.data or s.flags & FIN):
            self.ack()

    def wait(self, condition, what, seconds=10):
        def check():
            self.pump(0.02)
            return condition()

        return until(check, what, seconds, pause=0)

    def wait_acked(self, n=None):
        n = self.sent if n is None else n
        self.wait(lambda: self.acked >= n, f"the acknowledgement of {n} bytes")

    def wait_received(self, mark, count=1, seconds=10):
        self.wait(lambda: self.received.count(mark) >= count, lambda: f"{count} times {mark!r}; got {self.received!r}",
                  seconds)

    def close(self):
        """FIN both ways."""
        if self.reset:
            return
        self.acknowledging = True
        self.ack()
        self.fin()
        self.wait(lambda: self.finished or self.reset, "the server's FIN")
        self.pump(0.01)
