"""preferences: pairs of answers side by side in rows of one length, both of a pair in one row.

A row has three lines of numbers: what is read and what is told, as `dialogues` has them, and which answer
each place belongs to: 1 and 2 are the chosen and the rejected one of its first pair, 3 and 4 those of its
second; 0 where there is none.

Shapes: N rows, T tokens of a row, D pairs, P pieces, M pairs of a row at most, Q tokens of several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.core.errors import DataError
from lichen.data import conversations, dialogues, draws, packing
from lichen.data.chat import Chat
from lichen.data.texts import Texts
from lichen.data.tokenizer import PAD


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One split of preferences.

    Args:
        rows_N3T: int32.
        ids: uint64 (N,): of each row by its pairs.
        num_pairs: int64 (N,) of each row.
        num_left_out: pairs of which an answer is not reached within the tokens that are read.
    """

    rows_N3T: np.ndarray
    ids: np.ndarray
    num_pairs: np.ndarray
    num_left_out: int

    @property
    def most(self) -> int:
        """Pairs of a row at most."""
        return int(self.num_pairs.max())


def packed(rows: Texts, chat: Chat, *, room: int, least: int) -> Pairs:
    """The pairs of a split.

    Args:
        room: tokens that are read of a conversation; longer ones are cut off.
        least: tokens of a row at least, so that short pairs lie side by side.

    Raises:
        DataError: no pair is reached, or the template refuses one; names it.
    """
    sides = [dialogues.encoded(rows, chat, side) for side in (conversations.chosen, conversations.rejected)]
    lengths_D2 = np.stack([side.lengths(room) for side in sides], 1)
    is_whole_D = (lengths_D2 > 0).all(1)
    both_D = np.where(is_whole_D, lengths_D2.sum(1), 0)
    if not is_whole_D.any():
        raise DataError(f"the pairs of {rows.split} must hold both answers within {room} tokens; none does",
                        hint="a larger max_tokens reads on")  # fmt: skip
    length = max(least, int(both_D.max()))
    plan = packing.plan(both_D, length)
    pieces, row_P = plan.pieces(np.arange(plan.num_rows))
    starts_D = np.cumsum(both_D) - both_D
    pair_P = np.searchsorted(starts_D, plan.start_P[pieces], "right") - 1
    counts_N = np.bincount(row_P, minlength=plan.num_rows)
    found_N3T = np.full((plan.num_rows, 3, length), PAD, np.int32)
    row_Q, column_Q, piece_Q = packing.spread(plan, pieces, row_P)
    inside_Q = packing.ranges(np.zeros(len(pieces), np.int64), both_D[pair_P])
    place_P = packing.ranges(np.zeros(len(counts_N), np.int64), counts_N)
    for number, side in enumerate(sides):
        own_Q = inside_Q if number == 0 else inside_Q - lengths_D2[pair_P[piece_Q], 0]
        is_its = (own_Q >= 0) & (own_Q < lengths_D2[pair_P[piece_Q], number])
        at = row_Q[is_its], column_Q[is_its]
        source_Q = side.ends_D[pair_P[piece_Q[is_its]]] + own_Q[is_its]
        found_N3T[at[0], 0, at[1]] = side.read_Q[source_Q]
        found_N3T[at[0], 1, at[1]] = side.told_Q[source_Q]
        found_N3T[at[0], 2, at[1]] = 2 * place_P[piece_Q[is_its]] + number + 1
    ids_N = np.zeros(plan.num_rows, np.int64)
    np.add.at(ids_N, row_P, draws.mix(rows.ids[pair_P].view(np.int64)))
    return Pairs(found_N3T, ids_N.view(np.uint64), counts_N, int((~is_whole_D).sum()))
