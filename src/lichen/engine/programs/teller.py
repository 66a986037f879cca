"""teller: a graph of `gptfile` at work: asked like the net it was made of, with a cache that stays in place.

Numpy alone: a process that answers by ONNX need not carry torch.

Shapes: B rows, T new tokens, S tokens in all, P places told about, V different tokens, G heads of keys, R
room, K width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TOKENS, LENGTHS, TOTAL, BIAS, PLACES, LOGITS = "tokens", "lengths", "total", "bias", "places", "outputs"
NEW = "new_"
"""Stands before the name of keys or values that were filled further."""
HIDDEN = -1e9
"""Added to what is not seen: nothing is left of it after the softmax."""


def keeps(session: Any) -> bool:
    """Whether a session's graph takes keys and values beside tokens."""
    return any(one.name == BIAS for one in session.get_inputs())


@dataclass(slots=True)
class Kept:
    """Keys and values of tokens that were read, in buffers which the graph itself fills further.

    Args:
        buffers: (B, G, R, K) by name, of which the first `length` tokens count.
        document_BS: the number of the document that each token lies in.
        is_marked: documents begin at marked numbers alone.
    """

    room: int
    length: int = 0
    buffers: dict[str, np.ndarray] = field(default_factory=dict)
    document_BS: np.ndarray | None = None
    binding: Any = None
    is_marked: bool = False

    def documents(self, starts_BT: np.ndarray) -> np.ndarray:
        """int (B, S): the documents of all tokens, new ones after those that are kept."""
        new_BT = starts_BT.cumsum(1)
        if self.document_BS is not None:
            new_BT = np.concatenate([self.document_BS, new_BT + self.document_BS[:, -1:]], 1)
        self.document_BS = new_BT
        return new_BT

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Goes on with some rows of the batch alone, or with some several times."""
        chosen = np.asarray(rows)
        self.buffers = {name: np.ascontiguousarray(held[chosen]) for name, held in self.buffers.items()}
        self.binding = None
        if self.document_BS is not None:
            self.document_BS = self.document_BS[chosen]

    def cut(self, length: int) -> None:
        """Forgets what was read after so many tokens."""
        self.length = length
        if self.document_BS is not None:
            self.document_BS = self.document_BS[:, :length]


class Teller:
    """A session over a graph, with the token that documents begin with.

    Args:
        session: of ONNX Runtime, for a graph that `keeps`.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.end = int(session.get_modelmeta().custom_metadata_map["end"])
        self.shapes = {one.name: one.shape for one in session.get_inputs() if "." in one.name}
        self.num_tokens = session.get_outputs()[0].shape[2]

    def cache(self, room: int) -> Kept:
        """An empty cache for so many tokens of a row."""
        return Kept(room=room)

    def __call__(self, x_BT: np.ndarray, cache: Kept | None = None, last: int | None = None) -> np.ndarray:
        """float32 (B, P, V): for each of the `last` tokens, or all, what the next one may be, in logits."""
        count, length = x_BT.shape
        cache = cache or Kept(room=length)
        x_BT, starts_BT = self._begun(x_BT, cache)
        binding = self._bound(cache, count)
        told = np.arange(length - (last or length), length)
        outputs_BPV = np.empty((count, len(told), self.num_tokens), np.float32)
        total = cache.length + length
        given = {
            TOKENS: np.ascontiguousarray(x_BT, np.int32), LENGTHS: np.full(count, total - 1, np.int32),
            TOTAL: np.array([total], np.int32), BIAS: _bias(starts_BT, cache), PLACES: told,
        }  # fmt: skip
        for name, array in given.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output(LOGITS, "cpu", 0, np.float32, outputs_BPV.shape, outputs_BPV.ctypes.data)
        self.session.run_with_iobinding(binding)
        cache.length = total
        return outputs_BPV

    def rows(self, rows_BT: np.ndarray) -> np.ndarray:
        """float32 (B, T, V) of packed rows: of documents, or of what is read and what is told (B, 2, T)."""
        return self(rows_BT[:, 0] if rows_BT.ndim == 3 else rows_BT[:, :-1])

    def _bound(self, cache: Kept, count: int) -> Any:
        """The binding of a cache's buffers, which are both what is read and what is written."""
        if not cache.buffers:
            cache.buffers = {name: np.empty((count, groups, cache.room, width), np.float32)
                             for name, (_, groups, _, width) in self.shapes.items()}  # fmt: skip
        if cache.binding is None:
            cache.binding = self.session.io_binding()
            for name, held in cache.buffers.items():
                cache.binding.bind_input(name, "cpu", 0, held.dtype, held.shape, held.ctypes.data)
                cache.binding.bind_output(NEW + name, "cpu", 0, held.dtype, held.shape, held.ctypes.data)
        return cache.binding

    def _begun(self, x_BT: np.ndarray, cache: Kept) -> tuple[np.ndarray, np.ndarray]:
        """The numbers without marks, and bool (B, T) where documents begin: at marks, or at `end`."""
        starts_BT = x_BT < 0
        cache.is_marked = cache.is_marked or bool(starts_BT.any())
        return (np.where(starts_BT, ~x_BT, x_BT), starts_BT) if cache.is_marked else (x_BT, x_BT == self.end)


def _bias(starts_BT: np.ndarray, cache: Kept) -> np.ndarray:
    """float32 (B, 1, T, S): nothing within a document; later tokens the graph hides by itself."""
    document_BS = cache.documents(starts_BT)
    is_other_BTS = document_BS[:, -starts_BT.shape[1] :, None] != document_BS[:, None]
    return (is_other_BTS * np.float32(HIDDEN))[:, None].astype(np.float32, copy=False)
