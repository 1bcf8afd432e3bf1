# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A scene is the traffic of one test, and returns what must be true of the document. All scenes of a file are played one
after the other under one watch, which is what costs time; each has endpoints of its own, and is a test of its own.
"""
import contextlib

import pytest

from . import dry, watch


class Scenes(list):
    """The scenes of a file, each put in by decorating it."""

    def __call__(self, play):
        self.append(play)
        return play


class Stage:
    """The servers of the scenes, under one watch."""

    def __init__(self, tmp, arms, behind=(), **options):
        """arms: servers, one an arm, in the order of watch.ARMS; behind: others, which these ask; options: as for Watch."""
        self.servers = [*arms, *behind]
        self.watch = (dry.Watch if watch.DRY else watch.Watch)(tmp, **watch.one_an_arm(*arms), **options)
        self.checks, self.failures, self.document = {}, {}, None

    def play(self, scenes):
        for play in scenes:
            try:
                self.checks[play] = play(self)
            except Exception as failure:  # raised by the scene's own test
                self.failures[play] = failure
        try:
            self.document = self.watch.stop()
        except pytest.skip.Exception:
            pass

    def check(self, play):
        if play in self.failures:
            raise self.failures[play]
        if not self.document:
            pytest.skip("dry run: the traffic went well")
        self.checks[play](self.document)

    def close(self):
        self.watch.discard()
        for s in self.servers:
            s.stop()

    @contextlib.contextmanager
    def played(self, scenes):
        try:
            self.play(scenes)
            yield self
        finally:
            self.close()
