"""planted: a game whose best choice is known, and the environment of it."""

import numpy as np

from lichen.engine.search.games import Ledger
from lichen.engine.search.moves import Moves

BEST = (2, 0, 3)


class Planted(Ledger):
    """Worth the more the nearer a choice is to BEST; rows that judge say the same, with their own noise."""

    num_places, num_levels, is_ordered = 3, 4, True
    usual = (1, 1, 1)
    recorded = None
    metric = "nearness"

    def state(self, levels):
        told = np.zeros(4, np.float32)
        told[0] = len(levels) / 3
        told[1 : 1 + len(levels)] = np.array(levels) / 3
        return told

    def nearest(self, levels, level):
        return level

    def tried(self, levels):
        return 1.0 - sum(abs(one - best) for one, best in zip(levels, BEST)) / 9

    def outcome(self, levels, seed):
        draws = np.random.default_rng(0)
        return (draws.random(400) < 1.0 - sum(abs(a - b) for a, b in zip(levels, BEST)) / 9).astype(float)

    def words(self, levels):
        return str(levels)

    def line(self, levels):
        return f"- take: {levels}"


GAME = Planted()


class Small(Moves):
    def __init__(self):
        super().__init__(GAME)
