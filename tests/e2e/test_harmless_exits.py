# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
However it ends, nothing of it stays: no program, map or link, nothing at a cgroup, a probe or a pin, and no byte of a watched
process is other than its file's. And it comes and goes quickly. What is looked at is the whole host.
"""
import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from tw import tls_servers, watch
from tw.leftovers import Leftovers, patched
from tw.proc import children
from tw.wait import until
from tw.witness import Witness

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("not_in_a_dry_run")]

START = 2.0  # s, to the first number
STOP = 1.0


@pytest.fixture
def shop(tmp_path, certificate, started):
    """nginx over TLS, so that there are programs of every kind to leave behind, and clients that go on asking it."""
    server = started(tls_servers.nginx(tmp_path, certificate, workers=2))
    server.witness = started(Witness(server.port, tls=True))
    return server


def assert_as_it_was(server, before):
    """Nothing is left, the clients are served as before, and nobody has been harmed."""
    before.await_none()
    workers = children(server.pid)
    assert workers and sum(patched(p) for p in workers) == 0, "breakpoints have been left in the code"
    server.witness.more()
    server.witness.unharmed()


ENDS = {"SIGINT": 0, "SIGTERM": 0, "SIGHUP": 0, "SIGKILL": -signal.SIGKILL, "SIGSEGV": -signal.SIGSEGV}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_signal_ends_it_nothing_stays_attached_or_pinned(end, shop, watching):
    before = Leftovers()
    w = watching(shop.port)
    until(lambda: sum(patched(p) for p in children(shop.pid)), "probes in the workers: the test would see nothing")
    kinds = {what[0] for what in before.more()}
    assert kinds >= {"prog", "map", "link", "cgroup"} and "pinned" not in kinds, kinds
    shop.witness.more()
    assert w.end(getattr(signal, end)) == ENDS[end]
    assert_as_it_was(shop, before)


def test_a_watch_whose_reader_has_gone_ends_and_leaves_nothing(shop, tmp_path, started):
    """As in `tillwatch watch | head`: nobody is left to show anything to."""
    before = Leftovers()
    path = tmp_path / "watch.yaml"
    path.write_text(watch.config_text({"v1": ("baseline", {"listen": str(shop.port)})}))
    reader, writer = os.pipe()
    with open(tmp_path / "watch.err", "wb") as err:
        tool = subprocess.Popen([watch.TILLWATCH, "watch", "-c", path], stdin=subprocess.DEVNULL, stdout=writer, stderr=err)
    os.close(writer)
    try:
        with open(reader, "rb") as first:
            assert first.readline()
        assert tool.wait(10) == 1
    finally:
        tool.kill()
        tool.wait()
    assert "cannot write to standard output" in (tmp_path / "watch.err").read_text()
    assert_as_it_was(shop, before)


def test_killed_while_it_attaches_it_leaves_nothing(shop, tmp_path):
    """At any moment of its start, from before the first program to after the last."""
    before = Leftovers()
    path = tmp_path / "watch.yaml"
    path.write_text(watch.config_text({"v1": ("baseline", {"listen": str(shop.port)})}))
    for after in (0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4):
        tool = subprocess.Popen([watch.TILLWATCH, "watch", "-c", path], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        tool.kill()
        tool.wait()
    assert_as_it_was(shop, before)


# ---- how long it takes ---------------------------------------------------------------------------------------------


def before_others():
    """What others want of the processors meanwhile does not count: nearly all of a start is the kernel's verifier, on all of them."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


class Shown:
    """`tillwatch watch` on a terminal."""

    def __init__(self, tmp_path, port):
        path = tmp_path / "watch.yaml"
        path.write_text(watch.config_text({"v1": ("baseline", {"listen": str(port)})}))
        self.terminal, inner = pty.openpty()
        self.begin = time.monotonic()
        self.tool = subprocess.Popen([watch.TILLWATCH, "watch", "-c", path], stdin=subprocess.DEVNULL, stdout=inner,
                                     stderr=subprocess.DEVNULL, preexec_fn=before_others)
        os.close(inner)
        self.text = ""

    def _read(self):
        if select.select([self.terminal], [], [], 0.5)[0]:
            try:
                self.text += os.read(self.terminal, 65536).decode("utf-8", "replace")
            except OSError:  # its end has been closed
                return False
        return True

    def first_number(self):
        """Seconds until there are requests in the table."""
        while not re.search(r"GET /ok +[1-9]", self.text):
            assert self._read() and time.monotonic() - self.begin < 20, self.text
        return time.monotonic() - self.begin

    def stop(self):
        """Seconds from SIGINT to its end."""
        begin = time.monotonic()
        self.tool.send_signal(signal.SIGINT)
        while self.tool.poll() is None:
            self._read()
        return time.monotonic() - begin

    def close(self):
        self.tool.kill()
        self.tool.wait()
        os.close(self.terminal)


def median(values):
    return sorted(values)[len(values) // 2]


def test_the_first_number_is_there_within_two_seconds_and_the_end_comes_within_one(shop, tmp_path, started):
    """Of five, the median. Clients ask all the time, and TLS is read; they have to wait, as the tool goes first here."""
    starts, stops = [], []
    for _ in range(5):
        shown = started(Shown(tmp_path, shop.port))
        starts.append(shown.first_number())
        stops.append(shown.stop())
    print("first number after", [f"{s:.2f}" for s in starts], "ended after", [f"{s:.2f}" for s in stops])
    assert median(starts) <= START, starts
    assert median(stops) <= STOP, stops
    shop.witness.stop()
    assert not shop.witness.failures
