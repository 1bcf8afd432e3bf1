# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Work in several threads at once. What fails in one of them fails the test."""
import threading


def in_parallel(n, work):
    """work(i), in n threads, to the end of all; raises what the first to fail has raised."""
    failures = []

    def run(i):
        try:
            work(i)
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise next((e for e in failures if not isinstance(e, threading.BrokenBarrierError)), failures[0])


def in_step(n, work):
    """The same of work(i, ready): ready() comes back when it was called by all."""
    barrier = threading.Barrier(n, timeout=30)

    def run(i):
        try:
            work(i, barrier.wait)
        except Exception:
            barrier.abort()
            raise

    in_parallel(n, run)
