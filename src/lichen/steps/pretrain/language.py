"""language: fit a fresh language model to the train documents.

Documents lie packed in rows of `max_tokens`; each token is told from those before it in its own document.
The net is that of the last step; with `patience` the best on validation.
"""

from __future__ import annotations

from typing import Literal

import torch

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Function, Natural, Net, Positive, Seed
from lichen.core.step import step
from lichen.engine.inputs import feeds
from lichen.engine.modules import architecture, backend
from lichen.engine.task import task_of
from lichen.engine.training.job import Settings
from lichen.engine.training.lesson import Lesson

TASK = "language_modelling"
STEP_TOKENS = 4096
"""Tokens of a step where nobody says."""
JUDGED_TOKENS = 16_384
"""Of validation, told after each round where the answer decides nothing."""


@step(splits=("train", "validation"), without=None)
def language(
    data: Dataset,
    tokenizer: Model,
    *,
    net: Net = "gpt",
    net_options: dict | None = None,
    max_tokens: Count = 256,
    steps: Count = 1000,
    rounds: Count = 10,
    batch_size: Count | None = None,
    optimizer: Literal["muon_adamw", "adamw", "sgd"] = "muon_adamw",
    rate: Positive | None = None,
    head_rate: Positive | None = None,
    table_rate: Positive | None = None,
    bias_rate: Positive | None = None,
    weight_decay: Positive = 0.1,
    momentum: Fraction = 0.95,
    schedule: Literal["wsd", "cosine", "linear", "constant"] = "wsd",
    cooldown: Fraction = 0.5,
    warmup: Natural = 0,
    clip: Positive | None = None,
    ema: Fraction | None = None,
    patience: Natural | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    callback: Function | None = None,
    run: Run,
) -> Model:
    """Trains a language model from random weights.

    Args:
        tokenizer: what reads texts, as `prepare.bpe` makes it; the model keeps it.
        net_options: what the net's builder takes, such as {"depth": 6}.
        max_tokens: tokens that a row reads; longer documents go on in the next row.
        steps: of training in all, rounded up to whole rounds; they go through the rows again and again.
        rounds: how often validation is asked, and what `patience` counts.
        batch_size: rows per step over all processes; None: those of 4 096 tokens.
        optimizer: muon_adamw moves hidden matrices along orthogonal directions, all else by AdamW.
        rate: the peak rate; None: the optimizer's usual one.
        head_rate: the peak rate of the head's matrix; None: with muon_adamw the usual one of AdamW beside
            muon, else as the others. bias_rate: of norms, likewise.
        table_rate: of the tokens' vectors, and of a head tied to them, likewise.
        momentum: of muon and sgd.
        schedule: wsd: warmup, then even, then linearly to 0.
        cooldown: the share of the steps over which wsd falls.
        warmup: steps over which the rate rises.
        clip: the longest gradient; longer ones are scaled down.
        ema: decay of a running average of the weights, which then answers.
        patience: rounds without a better validation figure before it stops; the best round is kept.
        precision: of the arithmetic; auto: the fastest on this machine, a recorded decision.
        callback: called with each round's figures; True stops.
    """
    learnt = task_of(TASK)
    learnt.check(data, "train")
    assets = feeds.assets_of(learnt, data, teller=tokenizer, max_tokens=max_tokens)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = architecture.build(net, net_options or {}, feeds.in_shape(assets), learnt.num_outputs(data))
    round_steps = -(-steps // min(rounds, steps))
    settings = Settings(
        epochs=min(rounds, steps), optimizer=optimizer, rate=rate, bias_rate=bias_rate, head_rate=head_rate,
        table_rate=table_rate, weight_decay=weight_decay, momentum=momentum, schedule=schedule,
        cooldown=cooldown, warmup=warmup / round_steps, clip=clip, ema=ema, patience=patience,
        precision=precision, seed=seed,
    )  # fmt: skip
    lesson = Lesson(
        task=learnt, data=data, assets=assets, round_steps=round_steps,
        batch_size=batch_size or max(1, STEP_TOKENS // max_tokens),
        num_judged=max(1, JUDGED_TOKENS // max_tokens) if patience is None else None,
    )  # fmt: skip
    lesson.fit(module, settings, run=run, callback=callback, about={"net": net})
    return backend.wrap(module.to("cpu"), task=TASK, assets=assets)
