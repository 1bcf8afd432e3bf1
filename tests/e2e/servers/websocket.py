# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Upgrades every connection and answers a closing frame with one; PORT is its only argument."""
import socket
import sys
import threading


def serve(conn):
    with conn:
        data = b""
        while b"\r\n\r\n" not in data:
            more = conn.recv(4096)
            if not more:
                return
            data += more
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while frame := conn.recv(4096):
            if frame[0] == 0x88:
                conn.sendall(b"\x88\x02\x03\xe8")
                return


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
