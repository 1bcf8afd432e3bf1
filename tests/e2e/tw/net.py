# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Ports and sockets."""
import fcntl
import random
import socket
import struct
import termios

from .wait import until

_given = set()


def free_port(host="127.0.0.1"):
    """A port nobody has, below the range the kernel takes client ports from, and never the same twice in one run."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.randrange(20000, 32000)
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


def data_segments_sent(sock):
    """tcpi_data_segs_out of TCP_INFO."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 200), 156)[0]


def reset(sock):
    """Closes with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
