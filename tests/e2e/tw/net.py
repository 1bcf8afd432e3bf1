# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Ports and sockets."""
import fcntl
import os
import random
import socket
import struct
import termios
import time

from .wait import until

_given = set()
WORKERS = 16  # at most


def free_port(host="127.0.0.1"):
    """
    A port nobody has, below the range the kernel takes client ports from, and never the same twice in one run, nor in
    those of its workers that run at once.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS
    while True:
        port = random.randrange(20000 + worker, 32000, WORKERS)
        if port in _given:
            continue
        with socket.socket(family) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        _given.add(port)
        return port


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def connectable(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def await_listener(port, host="127.0.0.1", seconds=10.0, alive=lambda: True):
    def ready():
        if not alive():
            raise AssertionError(f"the server for {host}:{port} ended before it listened")
        return connectable(port, host)

    until(ready, f"a listener on {host}:{port}", seconds)


def unacknowledged(sock):
    """Bytes in the send queue that the other side has not acknowledged (SIOCOUTQ)."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]


def send_pieces(sock, pieces):
    """
    Sends each piece as a segment of its own: the next one leaves when the one before has been acknowledged, so the
    kernel can neither merge nor reorder them. The socket must have TCP_NODELAY.
    """
    for piece in pieces:
        if not piece:
            continue
        sock.sendall(piece)
        until(lambda: unacknowledged(sock) == 0, f"the acknowledgement of {len(piece)} bytes", pause=0.0002)


def await_sent(sock):
    """Waits until all that was sent has been acknowledged."""
    until(lambda: unacknowledged(sock) == 0, "the acknowledgement of all that was sent", pause=0.0005)


def data_segments_sent(sock):
    """tcpi_data_segs_out of TCP_INFO."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 200), 156)[0]


def held_back(sock):
    """Seconds for which the other side's receive window has kept sock from sending: tcpi_rwnd_limited of TCP_INFO."""
    return struct.unpack_from("Q", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), 176)[0] / 1e6


def await_shut_window(sock, seconds=10):
    """Waits until the other side's receive window keeps sock from sending: until the time for which it did so grows."""

    def grows():
        before = held_back(sock)
        time.sleep(0.01)
        return held_back(sock) > before

    until(grows, "the receive window to shut", seconds)


def reset(sock):
    """Closes with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _states(port):
    """The states (as in /proc/net/tcp) of all sockets on this local port, either family."""
    out = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as f:
                rows = [row.split() for row in f.read().split("\n")[1:-1]]
        except FileNotFoundError:
            continue
        out += [r[3] for r in rows if int(r[1].rsplit(":", 1)[1], 16) == port]
    return out


def open_sockets(port):
    """Connections that a process still has to close or read: neither listening nor in TIME_WAIT."""
    return sum(state in ("01", "03", "08") for state in _states(port))


def await_closed(port, seconds=10):
    """Waits until the server has closed every connection on this port."""
    until(lambda: open_sockets(port) == 0, lambda: f"{open_sockets(port)} connections on {port} to close", seconds)


def await_listeners(port, n, seconds=10):
    """Waits until n sockets listen on this port (SO_REUSEPORT)."""
    until(lambda: _states(port).count("0A") >= n, f"{n} listeners on {port}", seconds)
