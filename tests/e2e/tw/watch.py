# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tool under test: its configuration files, its process, its documents."""
import json
import os
import re
import signal
import subprocess
import threading
import time

from .net import await_closed
from .proc import Child
from .wait import until

HERE = os.path.dirname(os.path.abspath(__file__))
TILLWATCH = os.environ.get("TILLWATCH", os.path.normpath(os.path.join(HERE, "../../../tillwatch")))
ARMS = ("baseline", "canary", "other")


DRY = TILLWATCH == "dry"
# Attaching takes some seconds of a processor, for the verifier, and longer where others want it as well.
ATTACH_SECONDS = 120
COMMAND_SECONDS = ATTACH_SECONDS + 90


def one_an_arm(*servers):
    """What Watch is to be given to watch these, each as a version of its own, one an arm, in the order of ARMS."""
    return {"versions": {f"v-{arm}": (arm, {"listen": f"127.0.0.1:{s.port}"}) for arm, s in zip(ARMS, servers)},
            "serving": [s.port for s in servers]}


def binary_missing():
    if DRY:
        return None
    if os.geteuid() != 0:
        return "not root: attaching needs it"
    if not os.access(TILLWATCH, os.X_OK):
        return f"{TILLWATCH} is not built"
    return None


def _scalar(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return json.dumps(value)


def flow(mapping):
    """A YAML flow mapping of scalars and mappings."""
    parts = [f"{k}: {flow(v) if isinstance(v, dict) else _scalar(v)}" for k, v in mapping.items()]
    return "{ " + ", ".join(parts) + " }"


def config_text(versions, endpoints=(), gate=None, limits=None, service="shop", extra=""):
    """versions: name -> (arm, match); endpoints: mappings, or routes as texts."""
    out = [f"service: {service}", "versions:"]
    for name, (arm, match) in versions.items():
        out.append(f"  {name}: {flow({'arm': arm, 'match': match})}")
    if endpoints:
        out.append("endpoints:")
        for e in endpoints:
            out.append("  - " + flow(e if isinstance(e, dict) else {"route": e}))
    if gate:
        # Unquoted, as people write durations and percentages.
        out.append("gate: { " + ", ".join(f"{k}: {v}" for k, v in gate.items()) + " }")
    if limits:
        out.append("limits: " + flow(limits))
    return "\n".join(out) + "\n" + extra


class Document:
    """A tillwatch.comparison/1 document that has passed the checks every document must pass."""

    def __init__(self, text, stderr="", lossless=True):
        self.text = text
        self.stderr = stderr
        self.doc = json.loads(text, parse_constant=_no_constant)
        self.check(lossless)

    def __repr__(self):
        """What a failing test prints."""
        return json.dumps({k: self.doc.get(k) for k in ("coverage", "ledger", "loss")}) + f" {self.counts()} {self.outcomes()}"

    def __getitem__(self, key):
        return self.doc[key]

    def check(self, lossless):
        d = self.doc
        assert d["schema"] == "tillwatch.comparison/1"
        names = [e["endpoint"] for e in d["endpoints"]]
        assert len(names) == len(set(names)), f"an endpoint is listed twice: {names}"
        for name, arm, a in self.arms():
            where = f"{name} ({arm}): {a}"
            assert sum(a["outcomes"].values()) == a["requests"], f"outcomes do not add up to requests: {where}"
            assert sum(a["status"].values()) <= a["requests"], f"more statuses than requests: {where}"
            assert a["outcomes"]["answered"] <= sum(a["status"].values()), f"answered without a status: {where}"
            assert a["connections"] <= a["requests"], f"more connections than requests: {where}"
            for kind, q in a["latency"].items():
                _check_latency(where, kind, q)
        for ledger in [d["ledger"]] + [v["ledger"] for v in d["versions"]]:
            assert ledger["balanced"] is not False, f"unbalanced: {ledger}"
        if lossless:
            assert d["loss"]["events"] == 0 and d["loss"]["exchanges"] == 0, f"loss: {d['loss']}"

    def check_quiet(self):
        """Every connection was closed before the end: nothing is in flight, and the sum is exact."""
        for ledger in [self.doc["ledger"]] + [v["ledger"] for v in self.doc["versions"]]:
            assert ledger["in_flight"] in (0, None), f"in flight on closed connections: {ledger}"
            assert ledger["in_flight"] is None or ledger["seen"] == ledger["ended"] + ledger["lost"], ledger

    def arms(self):
        for e in self.doc["endpoints"]:
            for arm in ARMS:
                a = e["arms"].get(arm)
                if a:
                    yield e["endpoint"], arm, a

    def counts(self, arm="baseline"):
        """(endpoint, status) -> requests, of exchanges that got a status: a number, or as in "grpc-5"."""
        out = {}
        for name, its_arm, a in self.arms():
            if its_arm == arm:
                for status, n in a["status"].items():
                    if n:
                        out[name, int(status) if status.isdigit() else status] = n
        return out

    def requests(self, arm=None):
        return sum(a["requests"] for _, its_arm, a in self.arms() if arm in (None, its_arm))

    def by_status(self, arm="baseline"):
        out = {}
        for (_, status), n in self.counts(arm).items():
            out[status] = out.get(status, 0) + n
        return out

    def outcomes(self, arm="baseline"):
        """outcome -> requests, without zeros."""
        out = {}
        for _, its_arm, a in self.arms():
            if its_arm == arm:
                for k, n in a["outcomes"].items():
                    if n:
                        out[k] = out.get(k, 0) + n
        return out

    def connections(self, endpoint, arm="baseline"):
        return self.figures(endpoint, arm)["connections"]

    def figures(self, endpoint, arm="baseline"):
        for name, its_arm, a in self.arms():
            if name == endpoint and its_arm == arm:
                return a
        raise AssertionError(f"no {endpoint!r} on {arm}; there is {sorted(set(n for n, _, _ in self.arms()))}")

    def latency(self, endpoint, kind="total", arm="baseline"):
        return self.figures(endpoint, arm)["latency"][kind]


def _no_constant(name):
    raise AssertionError(f"{name} in the document")


def _check_latency(where, kind, q):
    known = [q[k] for k in ("p50", "p90", "p95", "p99", "max") if q[k] is not None]
    assert known == sorted(known), f"quantiles of {kind} fall: {where}"
    assert all(v >= 0 for v in known), f"negative {kind}: {where}"


class Watch:
    """`tillwatch watch -c FILE --json`, attached when the constructor returns."""

    def __init__(self, tmp, text=None, args=(), ready=True, json_output=True, serving=(), **config):
        """serving: the ports whose connections stop() expects to be closed."""
        self.serving = serving
        self.number = len(list(tmp.glob("watch*.yaml")))
        self.config = tmp / f"watch{self.number}.yaml"
        self.config.write_text(text or config_text(**config))
        self.stdout_path = tmp / f"watch{self.number}.out"
        self._stdout = open(self.stdout_path, "wb")
        argv = [TILLWATCH, "watch", "-c", self.config] + (["--json"] if json_output else []) + list(args)
        self.child = Child(argv, tmp / f"watch{self.number}.err", stdout=self._stdout)
        self.pid = self.child.pid
        if not ready:
            return
        try:
            self.await_ready()
        except BaseException:  # nobody has it yet who could end it
            self.discard()
            raise

    def await_ready(self):
        def attached():
            if not self.child.alive():
                raise AssertionError(f"tillwatch ended with {self.child.proc.returncode}: {self.stderr()}")
            return re.search(r"^tillwatch: watching ", self.stderr(), re.M)

        until(attached, lambda: f"'tillwatch: watching'; it said: {self.stderr()!r}", seconds=ATTACH_SECONDS, pause=0.01)

    def await_looks(self, n):
        """Until it has slept and woken n times, which it does at least ten times a second: each time it reads what there is."""

        def slept():
            with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))

        before = slept()
        until(lambda: slept() >= before + n, f"the tool to look {n} times", 30)

    def stderr(self):
        return self.child.log_text()

    def stdout(self):
        return self.stdout_path.read_text()

    def end(self, number=signal.SIGINT, seconds=20):
        """Ends it and returns its exit code."""
        code = self.child.stop(number, seconds)
        self._stdout.close()
        return code

    def stop(self, number=signal.SIGINT, lossless=True, idle=False):
        """
        Ends it cleanly and returns the document. By then every connection must have been closed; idle: they stay open,
        and what has ended on them must be reported within a second.
        """
        if idle:
            time.sleep(1)
        else:
            for port in self.serving:
                await_closed(port)
        code = self.end(number)
        assert code in (0, 10, 20, 30), f"exit {code}: {self.stderr()[-2000:]}"
        document = Document(self.stdout(), self.stderr(), lossless)
        if self.serving and not idle:
            document.check_quiet()
        return document

    def discard(self):
        if self.child.alive():
            self.child.stop(signal.SIGKILL)
        self._stdout.close()


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def __repr__(self):
        return f"exit {self.code} after {self.seconds:.1f} s\nstdout: {self.out}\nstderr: {self.err}"


def run(*args, seconds=COMMAND_SECONDS, env=None):
    """Runs a command of the tool to its end."""
    start = time.monotonic()
    done = subprocess.run([TILLWATCH, *[str(a) for a in args]], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=seconds, env=dict(os.environ, **(env or {})))
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


class Background:
    """Runs a command while the test makes traffic; result() waits for it."""

    def __init__(self, *args, seconds=COMMAND_SECONDS):
        self._out = None
        self._failure = None

        def work():
            try:
                self._out = run(*args, seconds=seconds)
            except Exception as failure:  # handed to the thread that asks
                self._failure = failure

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def running(self):
        return self._thread.is_alive()

    def result(self):
        self._thread.join()
        if self._failure:
            raise self._failure
        return self._out
