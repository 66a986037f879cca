"""instruct: a language model learns to answer, from conversations; only answers count in the loss.

Conversations are read by the model's own chat template, and packed side by side in rows, each seen by itself.
Papers: Wei et al. 2022 (instruction tuning); as `adapt.adapter` has them for adapters; Lester et al. 2021
(prompt tuning).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Function, Natural, Positive, Seed
from lichen.core.step import step
from lichen.data import conversations
from lichen.data.dialogues import Dialogues
from lichen.data.tokenizer import PAD
from lichen.engine.inputs import feeds
from lichen.engine.language import tuning
from lichen.engine.programs import parity
from lichen.engine.task import task_of
from lichen.engine.training.job import Settings
from lichen.engine.training.lesson import Lesson

ROW_TOKENS = 512
"""Tokens of a row at least, so that short conversations lie side by side."""
JUDGED_TOKENS = 8192
"""Of validation, told after each epoch where the answer decides nothing."""


@step(splits=("train", "validation"))
def instruct(
    model: Model,
    data: Dataset,
    *,
    method: Literal["full", "lora", "rslora", "dora", "ia3", "prompt"] = "lora",
    rank: Count = 8,
    alpha: Positive | None = None,
    targets: list[str] | None = None,
    dropout: Fraction = 0.0,
    num_virtual: Count = 16,
    template: str | None = None,
    max_tokens: Count | None = None,
    epochs: Natural = 3,
    batch_tokens: Count = 2048,
    rate: Positive | None = None,
    weight_decay: Positive = 0.01,
    schedule: Literal["cosine", "linear", "constant"] = "cosine",
    warmup: Positive = 0.1,
    clip: Positive | None = 1.0,
    ema: Fraction | None = None,
    patience: Natural | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    callback: Function | None = None,
    run: Run,
) -> Model:
    """Tunes a language model on conversations, all of it or by an adapter on a base that is not touched.

    Of pairs of answers it learns the chosen ones.

    Args:
        method: full moves every number; lora, rslora, dora and ia3 are those of `adapt.adapter`; prompt
            learns vectors that stand before every conversation and changes nothing else.
        rank: of the two matrices; ia3 and prompt have none.
        alpha: the product counts alpha / rank times (rslora: over the root of the rank); None: twice the
            rank.
        targets: the layers to adapt by their names or how these end, such as [query, value]; None: all but
            the head.
        dropout: of what goes into the matrices while they learn.
        num_virtual: vectors of a prompt; they count among the tokens that the net reads.
        template: a chat template of Jinja2; None: the model's own, or a plain one.
        max_tokens: read of a conversation, which is cut off there; None: as many as the net reads.
        epochs: over the train rows; 0: only the template is taken.
        batch_tokens: of a step, prompts and answers together.
        rate: the peak rate of AdamW; None: the method's usual one.
        warmup: epochs over which the rate rises.
        clip: the longest gradient; longer ones are scaled down.
        ema: decay of a running average of the weights, which then answers.
        patience: epochs without a better validation figure before it stops; the best epoch is kept.
        callback: called with each epoch's figures; True stops.

    Raises:
        DataError: the data holds no conversations, or the template refuses one.
        UsageError: the model tells no texts, or has an adapter already.
        GateError: merged, the adapter would not answer as it does beside its base.
    """
    if not set(conversations.KINDS) & data.schema.keys():
        raise DataError("answers are learnt from conversations; the data has none", where=data.root,
                        hint="prompt= and answer= of `load` name the columns")  # fmt: skip
    way = tuning.Way(
        method=method, rank=rank, alpha=alpha, targets=targets, dropout=dropout, num_virtual=num_virtual
    )
    pupil = tuning.begun(model, way, template=template, seed=seed)
    room = min(max_tokens or model.assets["max_tokens"], model.assets["max_tokens"])
    assets = {**pupil.assets, "max_tokens": room}
    longest = feeds.rows_of(data, "train", assets).stream.longest  # type: ignore[attr-defined]
    assets["max_tokens"] = length = min(room, max(longest, min(ROW_TOKENS, batch_tokens)))
    rows = feeds.rows_of(data, "train", assets)
    assert isinstance(rows, Dialogues)
    if epochs:
        _note(rows, run)
        settings = Settings(
            epochs=epochs, optimizer="adamw", rate=tuning.RATES[method] if rate is None else rate,
            weight_decay=weight_decay, schedule=schedule, warmup=warmup, clip=clip, ema=ema,
            patience=patience, precision=precision, seed=seed,
        )  # fmt: skip
        lesson = Lesson(
            task=task_of(model.task), data=data, assets=assets,
            batch_size=max(1, min(batch_tokens // length, rows.num_rows)),
            num_judged=max(1, JUDGED_TOKENS // length) if patience is None else None,
        )  # fmt: skip
        lesson.fit(pupil.module, settings, run=run, callback=callback,
                   about={"net": model.net, "method": method})  # fmt: skip
    judging = feeds.rows_of(data, parity.judging_split(data), assets)
    return pupil.finished(judging.batch(np.arange(min(judging.num_rows, 4))), run)


def _note(rows: Dialogues, run: Run) -> None:
    """Says how full rows are, how much of them is told, and what of the conversations is not read."""
    read, told = (float((rows.whole()[:, line] != PAD).mean()) for line in (0, 1))
    num_read = len(rows.stream.ends_D) - 1 - rows.num_left_out
    cut = f"; {rows.num_cut} are cut off there" if rows.num_cut else ""
    left = f"; {rows.num_left_out} more do not reach an answer and are left out" if rows.num_left_out else ""
    run.emit(
        "note",
        text=f"{num_read} conversations in {rows.num_rows} rows of {rows.length} tokens,"
        f" {read:.1%} full; {told:.1%} are answers{cut}{left}",
    )
