# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""gRPC: a server and a client on Node's grpc-js (grpc/), and messages for clients and servers that are made of frames."""
import collections
import json
import os
import shutil
import struct
import subprocess

import pytest

from . import net, servers
from .wait import until

HERE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../grpc"))
OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = range(6)
PERMISSION_DENIED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 7, 12, 13, 14


def need():
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not os.path.exists(os.path.join(HERE, "node_modules/.package-lock.json")):
        pytest.skip("grpc-js is not there (scripts/grpc-modules)")


def message(of):
    """A message as it is framed in DATA: not compressed, its length, JSON."""
    data = json.dumps(of).encode()
    return struct.pack(">BI", 0, len(data)) + data


class Server(servers.Server):
    """grpc/server.js."""

    def __init__(self, tmp, pem=None, name="grpc"):
        need()
        port = net.free_port()
        self.log_file = tmp / f"{name}.requests"
        self.log_file.touch()
        super().__init__(["node", os.path.join(HERE, "server.js"), "--port", port, "--log", self.log_file,
                          *(["--tls", pem] if pem else [])], tmp / f"{name}.out", port)

    def lines(self):
        return [line.split(" ") for line in self.log_file.read_text().split("\n")[:-1]]

    def ends(self, n):
        """Endpoint -> Counter of what the server did: "grpc-N" for a status that it sent, "cancelled"."""
        until(lambda: len(self.lines()) >= n, lambda: f"{n} calls in the log; it has {len(self.lines())}")
        out = collections.defaultdict(collections.Counter)
        for path, what, *more in self.lines():
            out[f"gRPC {path}"][f"grpc-{more[0]}" if what == "SENT" else "cancelled"] += 1
        return {k: dict(v) for k, v in out.items()}

    def seconds(self, path):
        return [float(v[-1]) for v in self.lines() if v[0] == path]


def call(method, *send, **more):
    """A call of shop.Orders for play(). more: deadline in milliseconds, cancel."""
    return {"path": f"/shop.Orders/{method}", "send": list(send) or [{}], "clientStream": method in ("Upload", "Chat"),
            "serverStream": method in ("Watch", "Chat"), **more}


class Client:
    """grpc/client.js at work on these calls; results() waits for it."""

    def __init__(self, tmp, port, calls, pem=None, channels=2, streams=8):
        need()
        plan = {"address": f"127.0.0.1:{port}", "tls": str(pem) if pem else None, "channels": channels, "streams": streams,
                "calls": calls}
        file = tmp / "plan.json"
        file.write_text(json.dumps(plan))
        self.proc = subprocess.Popen(["node", os.path.join(HERE, "client.js"), file], stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)

    def results(self, seconds=60):
        out, _ = self.proc.communicate(timeout=seconds)
        assert self.proc.returncode == 0, out[-3000:]
        return [json.loads(line) for line in out.split("\n")[:-1]]

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        self.proc.stdout.close()


def counts(results):
    """(endpoint, "grpc-N") -> n, of calls that the server has ended."""
    return dict(collections.Counter((f"gRPC {r['path']}", f"grpc-{r['code']}") for r in results))
