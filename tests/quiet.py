"""quiet: a Run that keeps everything in memory and can be told to stop."""

from __future__ import annotations

import copy


class Stopped(Exception):
    pass


class Quiet:
    """Keeps events, decisions and the last checkpoint; stops at the question after `stop_after` of them."""

    device = "cpu"

    def __init__(self, *, execution=None, stop_after=None, every=1, kept=None, replayed=None):
        self.execution = execution or {"threads": 1, "precision": "float32", "layout": "contiguous"}
        self.stop_after = stop_after
        self.every = every
        self.kept = kept
        self.replayed = replayed or {}
        self.asked = 0
        self.events = []
        self.decisions = {}

    def decide(self, name, measure, *, about=None):
        measured = self.execution if name.endswith("execution") and self.execution != "measured" else None
        self.decisions[name] = measured or self.replayed.get(name) or measure()
        return self.decisions[name]

    def recorded(self, name):
        return self.replayed.get(name)

    def emit(self, kind, **fields):
        self.events.append((kind, fields))

    def restore(self):
        return (copy.deepcopy(self.kept[0]), self.kept[1]) if self.kept else None

    def checkpoint(self, state, arrays):
        self.kept = (copy.deepcopy(dict(state)), dict(arrays))

    def wants_checkpoint(self):
        self.asked += 1
        if self.stop_after is not None and self.asked > self.stop_after:
            raise Stopped
        return self.asked % self.every == 0

    def history(self):
        return [fields for kind, fields in self.events if kind == "history"]
