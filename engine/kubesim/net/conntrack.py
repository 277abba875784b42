from __future__ import annotations


class Entry:
    pass


class Conntrack:
    def __init__(self, world):
        self.world = world

    def fork(self):
        return Conntrack(self.world)
