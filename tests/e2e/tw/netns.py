# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A network namespace with a loopback of its own, in which servers and clients run."""
import itertools
import os
import subprocess
import sys

from .lossy import ip

_numbers = itertools.count()

# Argument: port, target, connections, rounds. What fails in it fails the test.
CLIENTS = """
import http.client, sys
port, target, n, rounds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
connections = [http.client.HTTPConnection('127.0.0.1', port, timeout=20) for _ in range(n)]
for _ in range(rounds):
    for c in connections:
        c.request('GET', target)
        answer = c.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
"""


class Netns:
    def __init__(self):
        self.name = f"tw{os.getpid()}n{next(_numbers)}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        self.inside = ("nsenter", f"--net=/run/netns/{self.name}")

    def run(self, *argv):
        done = subprocess.run([*self.inside, *map(str, argv)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def asked(self, port, target, connections=1, rounds=1):
        """That many connections, one request after the other in turn, each answered with 200."""
        self.run(sys.executable, "-c", CLIENTS, port, target, connections, rounds)

    def canary(self):
        """The name of a device here whose other end lies in the namespace: it goes when the kernel has freed that."""
        device = f"{self.name}v"
        ip("link", "add", device, "type", "veth", "peer", "name", "far", "netns", self.name)
        return device

    def close(self):
        if self.name:
            ip("netns", "del", self.name)
        self.name = None
