# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs a program that puts itself into the background, adopts what it leaves behind, and ends all of it on SIGTERM."""
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
subprocess.run(sys.argv[1:], check=True,
               preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD}))
while signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) != signal.SIGTERM:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
while True:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as f:
        children = [int(pid) for pid in f.read().split()]
    if not children:
        break
    for pid in children:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
