# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Holds a listening socket and runs servers/app.py on it; SIGHUP ends that one (SIGTERM) and starts the next, as a service
manager does with a socket of its own. SIGUSR1 only ends it, and writes LOG.ended: the next is started at SIGHUP. Each has
SHOP_RUN=1, 2, … in its environment and a log of its own, LOG.1, LOG.2, … Writes the pid of each to LOG.pids.
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
args = args.parse_args()

WANTED = {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, WANTED)
listener = socket.create_server(("127.0.0.1", args.port), backlog=512)
app = os.path.join(os.path.dirname(os.path.abspath(__file__)), "app.py")
run = 0
while True:
    run += 1
    child = subprocess.Popen([sys.executable, app, "--fd", str(listener.fileno()), "--log", f"{args.log}.{run}"],
                             pass_fds=[listener.fileno()], env=dict(os.environ, SHOP_RUN=str(run)),
                             preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, WANTED))
    with open(f"{args.log}.pids", "a", encoding="ascii") as f:
        f.write(f"{child.pid}\n")
    wanted = signal.sigwait(WANTED)
    child.terminate()
    child.wait()
    if wanted == signal.SIGUSR1:
        os.close(os.open(f"{args.log}.ended", os.O_CREAT | os.O_WRONLY, 0o644))
        wanted = signal.sigwait(WANTED)
    if wanted == signal.SIGTERM:
        break
