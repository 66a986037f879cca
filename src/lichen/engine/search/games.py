"""games: a choice within the life of a model, made place by place: each place takes one of a few levels.

Whoever chooses, by chance, by a model of what was tried or by a learnt policy, chooses in one space and pays
with one coin: asking what a whole choice is worth.

Shapes: O numbers of a state, N rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lichen.core.errors import UsageError
from lichen.core.session import current
from lichen.core.value import Value

Levels = tuple[int, ...]
HELD: dict[str, Value] = {}
"""Values by digest, so that sessions without a store can play too."""


class Game(Protocol):
    """What can be chosen, and what it is worth."""

    num_places: int
    num_levels: int
    is_ordered: bool
    """Whether levels near each other are alike."""
    usual: Levels
    """What one would choose without looking."""
    recorded: Levels | None
    """What the life that is varied has chosen itself; None: the usual, or nothing."""
    asked: list[tuple[Levels, float]]
    """Every choice whose worth was asked for, in order."""

    @property
    def metric(self) -> str: ...

    def state(self, levels: Levels) -> np.ndarray:
        """float32 (O,): what there is to see when so many places are taken; about 0 to 1."""
        ...

    def nearest(self, levels: Levels, level: int) -> int:
        """The level that the next place may take, nearest to the one wanted."""
        ...

    def worth(self, levels: Levels) -> float:
        """What a whole choice is worth on the rows that choose: more is better."""
        ...

    def outcome(self, levels: Levels, seed: int) -> np.ndarray:
        """float64 (N,): its share of the headline on rows that chose nothing."""
        ...

    def words(self, levels: Levels) -> str: ...

    def line(self, levels: Levels) -> str:
        """The line of a recipe that applies a choice."""
        ...


class Ledger(ABC):
    """What was asked for: each time counts, and what is known need not be tried again."""

    def __init__(self) -> None:
        self.asked: list[tuple[Levels, float]] = []
        self.known: dict[Levels, float] = {}

    def worth(self, levels: Levels) -> float:
        if levels not in self.known:
            self.known[levels] = self.tried(levels)
        self.asked.append((levels, self.known[levels]))
        return self.known[levels]

    @abstractmethod
    def tried(self, levels: Levels) -> float:
        """What a choice turns out to be worth."""


def settled(game: Game, wanted: Sequence[int]) -> Levels:
    """The choice that comes nearest to the one wanted, place by place."""
    levels: Levels = ()
    for level in wanted:
        levels = (*levels, game.nearest(levels, int(level)))
    return levels


def chooses(ids_N: np.ndarray) -> np.ndarray:
    """bool (N,): the half of some rows that choose; the others judge what was chosen.

    Told by bits of a row's id that the order of rows and the draws of augmentation do not use alone.
    """
    return (ids_N >> np.uint64(32)) % np.uint64(2) == 0


def hold(value: Value) -> str:
    """The digest of a value that a game is about; the process has it from now on, with its life."""
    HELD[value.digest] = value
    return value.digest


def held(digest: str) -> Value:
    """The value that a game is about: this process has it, or the store.

    Raises:
        UsageError: neither has.
        NotFoundError: it is no longer in the store.
    """
    if digest in HELD:
        return HELD[digest]
    store = current().store
    if store is None:
        raise UsageError("a game about a value needs the store that holds it", hint="lichen init")
    return store.resolve(digest)
