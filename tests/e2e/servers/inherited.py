# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Opens a listening socket and hands it to programs it starts, one a VERSION given: each is servers/app.py with
SHOP_VERSION in its environment and its own log file (LOG.VERSION). It holds the socket but never reads from it.
"""
import argparse
import os
import signal
import socket
import subprocess
import sys

args = argparse.ArgumentParser()
args.add_argument("--port", type=int, required=True)
args.add_argument("--log", required=True)
args.add_argument("versions", nargs="+")
args = args.parse_args()

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
listener = socket.create_server(("127.0.0.1", args.port), backlog=512)
app = os.path.join(os.path.dirname(os.path.abspath(__file__)), "app.py")
children = []
for version in args.versions:
    children.append(subprocess.Popen(
        [sys.executable, app, "--fd", str(listener.fileno()), "--log", f"{args.log}.{version}"],
        pass_fds=[listener.fileno()], env=dict(os.environ, SHOP_VERSION=version),
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})))
signal.sigwait({signal.SIGTERM})
for child in children:
    child.terminate()
for child in children:
    child.wait()
