# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Waiting for conditions, never for time; and pauses that are part of the traffic."""
import threading
import time


def until(condition, what, seconds=10.0, pause=0.003):
    """Calls condition until it returns something true, and returns that. Says what it waited for when it gives up."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what() if callable(what) else what}")
        time.sleep(pause)


def pause(seconds):
    """A part of a test's traffic: a peer that does nothing for so long."""
    threading.Event().wait(seconds)
