# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Gates whose time is counted in requests and in their own ticks, not in seconds: what a machine does in a second is its
own affair. The tick log tells.
"""
import json
import signal

from . import watch
from .proc import Child
from .wait import until

# Options of servers/app.py, and its load: their rate is the timers', and a busy machine adds little to such times, which
# have a tail to compare, so that the usual margins and certificates need a few thousand requests anywhere.
STEADY, STEADY_CONNECTIONS = ["--delay-ms", 100, "--sigma", 0.3], 64
MOST_SECONDS = 200


def gate_during(path, work, *args, log=None):
    """A gate that has attached, while work(child, log) runs, and is then ended. Returns its exit code and what it printed."""
    log, out, err = log or path.with_suffix(".ticklog"), path.with_suffix(".out"), path.with_suffix(".err")
    with open(out, "wb") as stdout:
        child = Child([watch.TILLWATCH, "gate", "-c", path, "--for", "1h", "--log", log, *args], err, stdout=stdout)
        try:
            until(lambda: "tillwatch: watching " in child.log_text(), child.log_text, watch.ATTACH_SECONDS)
            work(child, log)
        finally:
            code = child.stop(signal.SIGINT)
    return code, out.read_text()


def ticks_of(log):
    """Those that are written out so far."""
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.startswith('{"tick":')]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def seen(log):
    """Requests, of both versions."""
    return sum(tick["seen"] for tick in ticks_of(log))


def a_tick_more(child, log):
    """Waits for the end of the tick that is under way."""
    before = len(ticks_of(log))
    until(lambda: len(ticks_of(log)) > before, child.log_text, 30)


def requests(n):
    """Work: until so many have been seen."""
    return lambda child, log: until(lambda: seen(log) >= n, child.log_text, MOST_SECONDS)


def promotion(most):
    """Work: until a tick says promote. So many requests must be enough for that."""

    def work(child, log):
        until(lambda: any(t["verdict"] == "promote" for t in ticks_of(log)) or seen(log) >= most, child.log_text, MOST_SECONDS)
        assert any(t["verdict"] == "promote" for t in ticks_of(log)), f"not promoted with {seen(log)} requests: {ticks_of(log)[-1]}"

    return work
