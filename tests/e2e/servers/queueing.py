# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Listens on a port it shares (SO_REUSEPORT) and never accepts; on SIGUSR1 it closes the listener and lives on."""
import argparse
import signal
import socket

args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args = args.parse_args()

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.1", args.port))
s.listen(512)
signal.sigwait({signal.SIGUSR1})
s.close()
while True:
    signal.pause()
