"""continuing: transformers goes on with texts out of a folder of a Llama, or the folder does not leave.

Shapes: T numbers of a row, B rows, S numbers of a text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lichen.core.errors import GateError
from lichen.core.model import Model
from lichen.data.tokenizer import PAD
from lichen.engine.decode import Decoder
from lichen.engine.sampling import Sampling
from lichen.engine.training import adapters

CONTINUED, TOLD = 4, 8
"""Texts that transformers goes on with before a folder leaves, and tokens of each."""


def require_told(model: Model, folder: Path, rows: np.ndarray) -> str:
    """Says how many texts transformers goes on with as the model does; nothing where it is not installed.

    One of them may take another way where two tokens are as likely as each other.

    Args:
        rows: as nets take them; what is gone on from is the first half of their first documents.

    Raises:
        GateError: what was written tells something else.
    """
    try:
        import transformers
    except ImportError:
        return ""
    decoder, greedy = Decoder.of(model), Sampling(temperature=0)
    with adapters.quietly():
        theirs = transformers.LlamaForCausalLM.from_pretrained(folder).eval()
        begun = [_begun(np.atleast_2d(row)[0], decoder) for row in rows[:CONTINUED]]
        found = [_told_by(theirs, numbers_S, decoder) for numbers_S in begun]
    wanted = [[said[0] for said in decoder.tokens([numbers_S], TOLD, greedy)] for numbers_S in begun]
    others = [place for place, told in enumerate(found) if told != wanted[place]]
    if len(others) > 1:
        raise GateError(
            f"transformers must go on with texts as the model does; {len(others)} of {len(begun)} go on"
            f" otherwise: {found[others[0]]} instead of {wanted[others[0]]}", hint="nothing was kept",
        )  # fmt: skip
    return f"; transformers goes on with {len(begun) - len(others)} of {len(begun)} texts as it does"


def _begun(row_T: np.ndarray, decoder: Decoder) -> np.ndarray:
    """The first half of a row's first document, so long that all that is told can be read."""
    starts = 1 + np.flatnonzero((row_T[1:] < 0) | (row_T[1:] == decoder.tokenizer.end))
    first_S = row_T[: starts[0]] if len(starts) else row_T
    return first_S[: max(1, min(len(first_S) // 2, decoder.room - TOLD))]


def _told_by(theirs: Any, numbers_S: np.ndarray, decoder: Decoder) -> list[int]:
    """What transformers' model tells after a text, greedily, in our numbers and without what ends it."""
    teller, stops = decoder.tokenizer, decoder.stops
    plain_S = np.where(numbers_S < 0, ~numbers_S, numbers_S).tolist()
    asked_BS, pad = torch.tensor([[teller.traded(number) for number in plain_S]]), teller.traded(PAD)
    told = theirs.generate(
        asked_BS, attention_mask=torch.ones_like(asked_BS), max_new_tokens=TOLD, do_sample=False,
        pad_token_id=pad, suppress_tokens=None if PAD in teller.stops else [pad],
    )[0, len(plain_S) :]  # fmt: skip
    found = [teller.traded(number) for number in told.tolist()]
    return found[:-1] if found and found[-1] in stops else found
