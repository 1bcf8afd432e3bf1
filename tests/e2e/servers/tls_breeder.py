# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A server that has children all the time, one every --every s, until it is told to stop by SIGUSR1. Each takes one TLS
connection, answers its requests with 200 until it is closed, and ends. The log has a line for each child.
"""
import argparse
import ctypes
import os
import select
import signal
import socket
import ssl
import sys

args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args.add_argument("--log", required=True)
args.add_argument("--tls", required=True)
args.add_argument("--every", type=float, default=0.04)
args = args.parse_args()

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(args.tls)
listener = socket.create_server(("127.0.0.1", args.port), backlog=1024)
rest, stop = os.pipe()
signal.signal(signal.SIGUSR1, lambda *_: os.write(stop, b"x"))


def serve():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    sock = None
    while not sock:
        try:
            sock = context.wrap_socket(listener.accept()[0], server_side=True)
        except OSError:  # somebody who only looks whether it listens
            pass
    while sock.recv(4096):
        sock.sendall(ANSWER)


with open(args.log, "w", buffering=1) as log:
    while not select.select([rest], [], [], args.every)[0]:
        child = os.fork()
        if not child:
            serve()
            os._exit(0)
        print(child, file=log)
    print("stopped", file=log)
listener.close()
while True:
    try:
        os.wait()
    except ChildProcessError:
        sys.exit()
