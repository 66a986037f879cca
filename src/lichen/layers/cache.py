"""cache: the keys and values of tokens that were read, so that only new ones are computed.

Shapes: B batch, T new tokens, S all tokens, G heads of keys, K width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True)
class Cache:
    """Of so many rows that are read side by side; `room` tokens of each at most.

    Args:
        keys: per layer (B, G, room, K), of which the first `length` count. values: likewise.
        document_BT: the number of the document that each token lies in.
        is_marked: beginnings are marked, so that `end` begins nothing.
    """

    room: int
    length: int = 0
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    document_BT: Tensor | None = None
    is_marked: bool = False

    @property
    def num_rows(self) -> int:
        """Rows that are read side by side; 0 before the first token."""
        return len(self.keys[0]) if self.keys else 0

    def take(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps what a layer says of new tokens, and gives what it said of all."""
        if layer == len(self.keys):
            batch, heads, _, width = k_BGTK.shape
            self.keys.append(k_BGTK.new_empty(batch, heads, self.room, width))
            self.values.append(k_BGTK.new_empty(batch, heads, self.room, width))
        end = self.length + k_BGTK.shape[2]
        self.keys[layer][:, :, self.length : end] = k_BGTK
        self.values[layer][:, :, self.length : end] = v_BGTK
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def documents(self, starts_BT: Tensor) -> Tensor:
        """int (B, S): the documents of all tokens, new ones after those that are kept."""
        new_BT = starts_BT.cumsum(1)
        if self.document_BT is not None:
            new_BT = torch.cat([self.document_BT, new_BT + self.document_BT[:, -1:]], 1)
        self.document_BT = new_BT
        return new_BT

    def shared(self, count: int, room: int) -> Cache:
        """For so many rows that all begin with the one row of this cache; this one stays as it is."""
        made = Cache(room=room, length=self.length)
        for mine, new in ((self.keys, made.keys), (self.values, made.values)):
            for held_1GTK in mine:
                _, heads, _, width = held_1GTK.shape
                new.append(held_1GTK.new_empty(count, heads, room, width))
                new[-1][:, :, : self.length] = held_1GTK[:, :, : self.length]
        return made

    def cut(self, length: int) -> None:
        """Forgets what was read after so many tokens."""
        self.length = length
        if self.document_BT is not None:
            self.document_BT = self.document_BT[:, :length]

    def keep_rows(self, rows: Tensor) -> None:
        """Goes on with some rows of the batch alone, or with some several times."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        if self.document_BT is not None:
            self.document_BT = self.document_BT[rows]
