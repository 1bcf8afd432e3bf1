# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A master that only listens; every SIGUSR1 makes it fork a worker that accepts and serves. Requests wait in the accept
queue until the first worker is there. Lines of the log: METHOD TARGET STATUS PID-OF-WORKER.
"""
import argparse
import os
import signal
import socket

args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args.add_argument("--log", required=True)
args = args.parse_args()
log = os.open(args.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
workers = []


def serve(sock):
    buf = b""
    while True:
        while b"\r\n\r\n" not in buf:
            data = sock.recv(65536)
            if not data:
                return
            buf += data
        head, buf = buf.split(b"\r\n\r\n", 1)
        method, target, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        os.write(log, f"{method} {target} 200 {os.getpid()}\n".encode("latin-1"))


def worker(listener):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        sock, _ = listener.accept()
        with sock:
            serve(sock)


def end():
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    os._exit(0)


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
listener = socket.create_server(("127.0.0.1", args.port), backlog=128)
while True:
    if signal.sigwait({signal.SIGUSR1, signal.SIGTERM}) == signal.SIGTERM:
        end()
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1, signal.SIGTERM})
        worker(listener)
    workers.append(pid)
