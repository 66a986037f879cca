"""feeds: what a net takes of a row, by the assets of its value: pixels, a text's numbers, or a code.

Shapes: N rows of a split, C channels, H height, W width, T numbers of a text, V different ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.protocols import Feed, Task
from lichen.data import chat, conversations, dialogues, encoder, packing, pairing, tokenizer, tokens
from lichen.data.batches import Source
from lichen.engine.inputs import codes, grey, observations, pictures, tabular, texts

KINDS = {
    "text": "texts",
    "bitext": "pairs of texts",
    "conversation": "conversations",
    "preference": "preferences",
    "observation": "observations",
    "tabular": "rows of tables",
    "image": "pictures",
}
"""What a row is, by its name in a schema."""
ASSETS = {"text": "tokenizer", "tabular": "encoder", "observation": "observation_shape"}
"""The asset that a value has which takes such rows; others take pictures."""
SPOKEN = tuple(f"{kind}s" for kind in conversations.KINDS)
"""What a language model takes beside texts."""
LONGEST = 512
"""Numbers that are read of a text at most where nobody says."""


def of(assets: Mapping[str, Any]) -> Feed:
    """How inputs of a person are read for a value with these assets."""
    if "observation_shape" in assets:
        return tabular if "encoder" in assets else observations
    if "tokenizer" in assets or are_codes(assets):
        return texts if "tokenizer" in assets else codes
    return grey if list(assets.get("image_shape") or ())[:1] == [1] else pictures


def rows_of(data: Dataset, split: str, assets: Mapping[str, Any]) -> Source:
    """The rows of a split as a net takes them.

    Raises:
        UsageError: the rows are of another kind than the value takes, or their labels, or the bounds of their
            actions, are not the value's.
    """
    has = next((KINDS[kind] for kind in KINDS if kind in data.schema), "pictures")
    takes = next((KINDS[kind] for kind, asset in ASSETS.items() if asset in assets), "pictures")
    takes = KINDS["bitext"] if are_paired(assets) else takes
    rows = data.rows(split) if takes == has or (are_packed(assets) and has in SPOKEN) else None
    if rows is None:
        raise UsageError(f"the value takes {takes}; the data has {has}")
    _require_same_meaning(data, assets)
    if has in SPOKEN:
        return dialogues.Dialogues(rows, chat.of(assets), assets["max_tokens"])
    if are_paired(assets):
        return pairing.Pairs(rows, tokenizer.of(assets["tokenizer"]), assets["max_tokens"])
    if has == "texts":
        teller, length = tokenizer.of(assets["tokenizer"]), assets["max_tokens"]
        if are_packed(assets):
            return packing.Packs(rows, teller, length)
        return tokens.Tokens(rows, teller, length, assets.get("before"))
    if has == KINDS["tabular"]:
        read = encoder.of(assets["encoder"])
        told = encoder.Encoded(rows, read, read.width)
        return codes.Codes(told, assets["num_codes"]) if are_codes(assets) else told
    if are_codes(assets):
        return codes.Codes(rows, assets["num_codes"], assets["made_shape"])
    return rows


def _require_same_meaning(data: Dataset, assets: Mapping[str, Any]) -> None:
    """Targets are places among the labels, or shares of a range: under others they mean something else.

    Raises:
        UsageError: the data's labels, or the bounds of its actions, are not the value's.
    """
    known = list(assets.get("labels") or [])
    if known and data.labels and known != data.labels:
        extra = [label for label in data.labels if label not in known][:5]
        seen = (
            f"the data also has {', '.join(extra)}"
            if extra
            else f"the data has {len(data.labels)} in another order"
        )
        raise UsageError(f"the data's labels must be the model's {len(known)}; {seen}")
    about = data.schema.get("observation", {})
    for end in ("low", "high") if about else ():
        own, found = assets.get(f"action_{end}") or [], about[end] or []
        if not np.array_equal(np.asarray(own, np.float32), np.asarray(found, np.float32)):
            raise UsageError(f"the data's actions must have the model's bounds; `{end}` is {found or 'none'},"
                             f" the model's {own or 'none'}",
                             hint="li.observations(..., low=, high=) takes the model's bounds")  # fmt: skip


def reads_texts(assets: Mapping[str, Any]) -> bool:
    """Whether rows are texts, read through a tokenizer."""
    return "tokenizer" in assets


def lengths_of(rows: Source) -> np.ndarray | None:
    """int64 (N,): tokens of each row where rows are texts that differ in them; None where they do not."""
    return rows.lengths() if isinstance(rows, tokens.Tokens) else None


def order_of(rows: np.ndarray, assets: Mapping[str, Any]) -> np.ndarray | None:
    """int64 (N,): rows of like length one after the other; None: as they come, for all are of one length."""
    if not reads_texts(assets) or are_packed(assets):
        return None
    return np.argsort(tokens.lengths(rows), kind="stable")


def are_packed(assets: Mapping[str, Any]) -> bool:
    """Whether a row is documents side by side, of which every token is to be told."""
    return bool(assets.get("is_packed"))


def are_paired(assets: Mapping[str, Any]) -> bool:
    """Whether a row is a source beside its target, of which every token is to be told."""
    return bool(assets.get("is_paired"))


def are_codes(assets: Mapping[str, Any]) -> bool:
    """Whether a row is a class beside a code, of which a generator makes something."""
    return "num_codes" in assets


def tells_tokens(assets: Mapping[str, Any]) -> bool:
    """Whether a net answers for every token of a row."""
    return are_packed(assets) or are_paired(assets)


def blank(assets: Mapping[str, Any]) -> np.ndarray:
    """A row to measure with: a black picture, a text of the longest length, or an observation of nothing."""
    if "observation_shape" in assets:
        return np.zeros(assets["observation_shape"], np.float32)
    if "tokenizer" in assets:
        told = tokenizer.of(assets["tokenizer"])
        if are_paired(assets):
            return np.full(2 * (assets["max_tokens"] + pairing.AROUND), told.end, np.int32)
        return np.full(assets["max_tokens"] + are_packed(assets), told.end, np.int32)
    return np.zeros(assets["image_shape"], np.uint8)


def drawn(assets: Mapping[str, Any]) -> np.ndarray:
    """A row to race with, of all kinds of numbers: a picture of noise, else as `blank`."""
    row = blank(assets)
    return row if row.dtype != np.uint8 else np.random.default_rng(0).integers(0, 256, row.shape, np.uint8)


def in_shape(assets: Mapping[str, Any]) -> tuple[int, ...]:
    """What a net's builder is told: (C, H, W), or (T, V)."""
    if "tokenizer" in assets:
        return assets["max_tokens"], tokenizer.of(assets["tokenizer"]).size
    if "observation_shape" in assets:
        return tuple(assets["observation_shape"])
    return tuple(assets["image_shape"])


def shape(assets: Mapping[str, Any]) -> list[int]:
    """Of the floats that a net takes per row: of an observation, or (C, H, W).

    Raises:
        UsageError: the value reads texts, or does not say.
    """
    return list(assets["observation_shape"] if "observation_shape" in assets else pictures.shape(assets))


def assets_of(
    task: Task,
    data: Dataset,
    *,
    image_size: int | None = None,
    normaliser: tuple[list[float], list[float]] | None = None,
    teller: Model | None = None,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """What answering needs beside weights, off train rows only.

    Args:
        image_size, normaliser: of pictures, as a task's `assets` takes them.
        teller: the Model that holds the tokenizer of a task on texts.
        max_tokens: numbers read of a text; None: those of the longest train row, LONGEST at most.

    Raises:
        UsageError: a text task without a tokenizer, or a tokenizer of another task.
        OptionError: a size or a normaliser of pictures is given where rows are none.
    """
    if "text" not in task.columns:
        if teller is not None:
            raise UsageError(f"task {task.name} reads no texts, so it takes no tokenizer")
        return task.assets(data, image_size, normaliser=normaliser)
    if teller is None or "tokenizer" not in teller.assets:
        raise UsageError("texts are read through a tokenizer; none is given",
                         hint="prepare.bpe makes one: tokenizer=li.prepare.bpe(data)")  # fmt: skip
    asset = teller.assets["tokenizer"]
    length = max_tokens or min(LONGEST, max(1, tokens.longest(data.rows("train"), tokenizer.of(asset))))
    told = task.assets(data, image_size, normaliser=normaliser)
    return {**told, "tokenizer": asset, "max_tokens": length}
