# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A bad network: two TUN devices, the far one in a network namespace of its own, and a relay between them that drops packets,
sends them twice and lets others pass them. Both ends are the kernel's own TCP.
"""
import ctypes
import os
import random
import select
import subprocess
import threading
import time

from . import rawtcp

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Lossy:
    """server: the address in our namespace; client: the one in the other. Each share is of all packets, both ways."""

    def __init__(self, drop=0.02, twice=0.02, late=0.05, seed=1):
        self.shares = {"drop": drop, "twice": twice, "late": late}
        self.did = dict.fromkeys(self.shares, 0)
        self._chance = random.Random(seed)
        self._held = []  # [time when it goes at the latest, packets that may pass, descriptor, packet]
        self.name = f"twl{os.getpid()}"
        self.near, self.far = rawtcp.Tun(), rawtcp.Tun()
        self.server, self.client = self.near.server, self.near.client
        ip("netns", "add", self.name)
        try:
            ip("link", "set", self.far.name, "netns", self.name)
            # A device loses its addresses when it moves.
            ip("-n", self.name, "addr", "add", f"{self.client}/30", "dev", self.far.name)
            ip("-n", self.name, "link", "set", self.far.name, "up")
        except BaseException:
            self.close()
            raise
        self._running = True
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def enter(self):
        """This thread's sockets are the far side's from now on."""
        fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)

    def _relay(self):
        other = {self.near.fd: self.far.fd, self.far.fd: self.near.fd}
        while self._running:
            wait = min((h[0] for h in self._held), default=time.monotonic() + 0.1) - time.monotonic()
            for fd in select.select(list(other), [], [], max(0, wait))[0]:
                try:
                    packet = os.read(fd, 65536)
                except BlockingIOError:
                    continue
                self._pass(other[fd], packet)
            self._let_go()

    def _happens(self, what):
        yes = self._chance.random() < self.shares[what]
        self.did[what] += yes
        return yes

    def _pass(self, fd, packet):
        if self._happens("drop"):
            return
        if self._happens("late"):
            self._held.append([time.monotonic() + 0.005, self._chance.randrange(1, 4), fd, packet])
            return
        for h in self._held:
            h[1] -= h[2] == fd
        for _ in range(2 if self._happens("twice") else 1):
            os.write(fd, packet)

    def _let_go(self):
        now = time.monotonic()
        ready = [h for h in self._held if h[1] <= 0 or h[0] <= now]
        self._held = [h for h in self._held if h not in ready]
        for _, _, fd, packet in ready:
            os.write(fd, packet)

    def close(self):
        self._running = False
        if hasattr(self, "_thread"):
            self._thread.join()
        self.near.close()
        self.far.close()
        ip("netns", "del", self.name)
