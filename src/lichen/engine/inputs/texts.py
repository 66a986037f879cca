"""texts: what a person hands in becomes the numbers that a net takes.

Shapes: B texts of a batch, T numbers of a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import DataError, NotFoundError
from lichen.data import packing, pairing, tokenizer, tokens
from lichen.data.files import read_bytes
from lichen.data.tokenizer import PAD

FEWEST = 2
"""Tokens that a graph is asked about at least: one alone would be a case of its own when it is written."""


def trimmed(rows_BT: np.ndarray, fewest: int = FEWEST) -> np.ndarray:
    """int32 (B, T): texts without what fills all of them up, but so many numbers."""
    return rows_BT[:, : max(fewest, int((rows_BT != PAD).sum(1).max()))]


def cut(batch_BT: Tensor) -> Tensor:
    """int32 (B, T): texts without what fills all of them up; as they are where a graph is written of it."""
    if torch.compiler.is_exporting():
        return batch_BT
    is_told_T = (batch_BT != PAD).any(0)
    return batch_BT[:, : max(1, int(is_told_T.sum()))]  # texts begin at the left and have no gaps


def typed(text: str, piped: bytes | None) -> list[Any]:
    """The inputs that a word of the command line means: the text itself, or the lines that were piped in."""
    if piped is None:
        return [text]
    return [line for line in _decoded(piped, "-").splitlines() if line.strip()]


def listed(inputs: Any) -> list[Any]:
    """The inputs one by one."""
    return list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes) else [inputs]


def decoded(item: Any, where: str, assets: Mapping[str, Any]) -> np.ndarray:
    """int32 of one text, of the bytes of one, or of a file: (T,), packed (T + 1,), as a pair's source (2 W,).

    Raises:
        DataError: it is no text in UTF-8; names it.
        NotFoundError: no such file.
    """
    if isinstance(item, Path):
        if not item.is_file():
            raise NotFoundError(f"there is no file `{item}`")
        item, where = read_bytes(item), str(item)
    text = _decoded(item, where) if isinstance(item, bytes) else item
    if not isinstance(text, str):
        raise DataError(f"an input must be a text, not {type(item).__name__}", where=where)
    teller, length = tokenizer.of(assets["tokenizer"]), assets["max_tokens"]
    if assets.get("is_paired"):
        return pairing.asked(teller, text, length)
    if assets.get("is_packed"):
        return packing.row(teller, text, length)
    return tokens.filled(teller, [text], length, assets.get("before"))[0]


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"a text must be UTF-8; byte {error.start} is not", where=where) from None
