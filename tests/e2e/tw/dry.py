# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A dry run (TILLWATCH=dry): a test's servers and clients do all they do, the tool is not run, and the test is skipped at
the point where it would read the document. Shows that the traffic works by itself; never ends with success.
"""
import pytest

from .net import await_closed


class Watch:
    """Stands in for watch.Watch."""

    def __init__(self, _tmp, serving=(), **_):
        self.serving = serving

    def stop(self, *_, idle=False, **__):
        if not idle:
            for port in self.serving:
                await_closed(port)
        pytest.skip("dry run: the traffic went well")

    def __getattr__(self, name):
        pytest.skip(f"dry run: {name} needs the tool")

    def discard(self):
        pass
