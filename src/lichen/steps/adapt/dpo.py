"""dpo: a language model learns to prefer the chosen of two answers, without a model of rewards.

What it found before is computed once; then each answer is judged by how much likelier it has become.
Paper: Rafailov et al. 2023, "Direct Preference Optimization".
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Function, Natural, Positive, Seed
from lichen.core.step import step
from lichen.data import chat, preferences
from lichen.data.batches import Batches
from lichen.data.preferences import Pairs
from lichen.engine.fit import fit
from lichen.engine.language import preference, tuning
from lichen.engine.language.preference import Rule
from lichen.engine.language.tuning import Pupil
from lichen.engine.modules import layers
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution
from lichen.engine.training.job import Judge, Settings
from lichen.engine.training.ranks import ranks

ROW_TOKENS = 512
"""Tokens of a row at least."""
JUDGED_TOKENS = 16_384
"""Of validation pairs, told after each epoch."""
SLOWER = 0.2
"""Of the usual rate of a method: what was learnt before is to be kept."""


@step(splits=("train", "validation"))
def dpo(
    model: Model,
    data: Dataset,
    *,
    beta: Positive = 0.1,
    normalise: Literal["none", "length"] = "none",
    method: Literal["full", "lora", "rslora", "dora", "ia3"] = "lora",
    rank: Count = 8,
    alpha: Positive | None = None,
    targets: list[str] | None = None,
    max_tokens: Count | None = None,
    epochs: Count = 1,
    batch_tokens: Count = 4096,
    rate: Positive | None = None,
    weight_decay: Positive = 0.0,
    schedule: Literal["cosine", "linear", "constant"] = "linear",
    warmup: Positive = 0.1,
    clip: Positive | None = 1.0,
    patience: Natural | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    callback: Function | None = None,
    run: Run,
) -> Model:
    """Tunes a language model on pairs of answers, all of it or by an adapter on a base that is not touched.

    Args:
        beta: how dear it is to leave what the model was; smaller ones let it go further.
        normalise: length compares what a token of an answer has become likelier on average, so that long
            answers are not preferred for their length; then beta counts per token and is 2 to 10.
        method: what learns, as `adapt.instruct` has it; so rank, alpha and targets.
        max_tokens: read of a conversation, which is cut off there; None: as many as the net reads.
        batch_tokens: of a step, prompts and both answers together.
        rate: the peak rate of AdamW; None: a fifth of the method's usual one.
        warmup: epochs over which the rate rises.
        clip: the longest gradient; longer ones are scaled down.
        patience: epochs without a better loss on validation pairs before it stops; the best epoch is kept.
        callback: called with each epoch's figures; True stops.

    Raises:
        DataError: the data holds no pairs of answers.
        UsageError: the model tells no texts, or has an adapter already.
        GateError: merged, the adapter would not answer as it does beside its base.
    """
    if "preference" not in data.schema:
        raise DataError("preferences are learnt from pairs of answers; the data has none", where=data.root,
                        hint="chosen= and rejected= of `load` name the columns")  # fmt: skip
    way = tuning.Way(method=method, rank=rank, alpha=alpha, targets=targets, dropout=0.0, num_virtual=0)
    pupil = tuning.begun(model, way, template=None, seed=seed)
    room = min(max_tokens or model.assets["max_tokens"], model.assets["max_tokens"])
    train = _pairs(pupil, data, "train", room)
    judging = _pairs(pupil, data, "validation", room) if data.num_rows("validation") else None
    rule = Rule(beta=beta, by_length=normalise == "length", most=max(p.most for p in (train, judging) if p))
    settings = Settings(
        epochs=epochs, optimizer="adamw", rate=SLOWER * tuning.RATES[method] if rate is None else rate,
        weight_decay=weight_decay, schedule=schedule, warmup=warmup, clip=clip, patience=patience,
        precision=precision, seed=seed,
    )  # fmt: skip
    made = _batches(train, rule, batch_tokens, seed, run.device)
    layers.still(pupil.module)  # chances are compared with those of a net that dropped nothing
    chosen = _execution(pupil, made, rule, settings, run)
    _note(train, run)
    judge = None if judging is None else _judge(pupil, judging, rule, chosen, run)
    made.targets.copy_(preference.first(
        pupil.module, train.rows_N3T, rule, chosen=chosen, device=run.device,
        note=lambda done, total: run.emit("progress", done=done, total=total, phase="reference"),
    ))  # fmt: skip
    fit(pupil.module, made, settings, objective=rule.objective, run=run, judge=judge, callback=callback,
        chosen=chosen)  # fmt: skip
    return pupil.finished((judging or train).rows_N3T[:4, :2], run)


def _pairs(pupil: Pupil, data: Dataset, split: str, room: int) -> Pairs:
    return preferences.packed(data.rows(split), chat.of(pupil.assets), room=room, least=ROW_TOKENS)


def _batches(pairs: Pairs, rule: Rule, batch_tokens: int, seed: int, device: str) -> Batches:
    """The rows of pairs; their targets are what the net finds at first, not yet known."""
    num_rows, _, length = pairs.rows_N3T.shape
    rank, world = ranks()
    return Batches(
        images=torch.from_numpy(pairs.rows_N3T).to(device), seed=seed, device=device, rank=rank, world=world,
        targets=torch.zeros(num_rows, rule.most, 2, device=device),
        ids=torch.from_numpy(pairs.ids.view(np.int64)).to(device),
        batch_size=max(1, min(batch_tokens // length, num_rows)),
    )  # fmt: skip


def _execution(pupil: Pupil, made: Batches, rule: Rule, settings: Settings, run: Run) -> Execution:
    """How to compute, settled before anything is: both chances of an answer must be computed alike."""
    rows_B3T, first_BM2 = next(iter(made.epoch(0)))[:2]
    return execution.decide(
        pupil.module, (rows_B3T, first_BM2), rule.objective, precision=settings.precision, run=run,
        num_steps=settings.epochs * made.steps_per_epoch,
        about={"net": pupil.model.net, "batch": list(rows_B3T.shape), "pairs": True},
    )  # fmt: skip


def _judge(pupil: Pupil, judging: Pairs, rule: Rule, chosen: Execution, run: Run) -> Judge:
    few = judging.rows_N3T[: max(1, JUDGED_TOKENS // judging.rows_N3T.shape[-1])]
    found = preference.first(pupil.module, few, rule, chosen=chosen, device=run.device)
    return preference.judge(few, found, rule, device=run.device)


def _note(pairs: Pairs, run: Run) -> None:
    num_rows, _, length = pairs.rows_N3T.shape
    left = (
        f"; {pairs.num_left_out} pairs do not reach both answers and are left out"
        if pairs.num_left_out
        else ""
    )
    run.emit("note", text=f"{pairs.num_pairs.sum()} pairs in {num_rows} rows of {length} tokens{left}")
