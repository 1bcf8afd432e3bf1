# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A dry run (TILLWATCH=dry): the tests' servers and clients do all they do, the tool is not run and whatever a test asks
of its document is granted. It shows that a test's own traffic works; a run like this never ends with success.
"""


class Agreeable:
    """Equal to everything, greater and smaller than everything, contains nothing."""

    def __eq__(self, _):
        return True

    def __ne__(self, _):
        return False

    def __lt__(self, _):
        return True

    __le__ = __gt__ = __ge__ = __lt__

    def __hash__(self):
        return 0

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Agreeable()

    def __getitem__(self, _):
        return Agreeable()

    def __call__(self, *_, **__):
        return Agreeable()

    def __iter__(self):
        return iter(())

    def __contains__(self, _):
        return False

    def __len__(self):
        return 1

    def _arithmetic(self, *_):
        return 0.0

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __abs__ = _arithmetic

    def __float__(self):
        return 0.0

    def __format__(self, _):
        return "dry"


class Watch:
    """Stands in for watch.Watch."""

    def __init__(self, tmp, serving=(), **_):
        self.serving = serving
        self.pid = 0

    def stop(self, idle=False, **_):
        from .net import await_closed

        if not idle:
            for port in self.serving:
                await_closed(port)
        return Agreeable()

    def end(self, *_, **__):
        return 0

    def __getattr__(self, name):
        return Agreeable()

    def discard(self):
        pass
