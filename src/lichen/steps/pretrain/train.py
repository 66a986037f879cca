"""train: fit a fresh net to the train rows.

The net is the last epoch's (or its running average); with `patience` the best on validation.
"""

from __future__ import annotations

from typing import Literal

import torch

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Function, Natural, Net, Positive, Seed, Task
from lichen.core.step import step
from lichen.engine.inputs import feeds
from lichen.engine.modules import architecture, backend
from lichen.engine.task import task_of
from lichen.engine.training import supervised
from lichen.engine.training.job import Settings
from lichen.engine.training.lesson import Lesson


@step(splits=("train", "validation"), without=None)
def train(
    data: Dataset,
    tokenizer: Model | None = None,
    *,
    net: Net = "cnn",
    net_options: dict | None = None,
    task: Task = "image_classification",
    image_size: Count | None = None,
    max_tokens: Count | None = None,
    epochs: Count = 10,
    batch_size: Count | None = None,
    optimizer: Literal["sgd", "adam", "adamw", "muon", "muon_adamw"] = "sgd",
    rate: Positive | None = None,
    bias_rate: Positive | None = None,
    head_rate: Positive | None = None,
    table_rate: Positive | None = None,
    units: Literal["step", "rows"] = "step",
    weight_decay: Positive = 0.0005,
    hidden_norm: Literal["free", "fixed"] = "free",
    momentum: Fraction = 0.9,
    schedule: Literal["cosine", "linear", "triangular", "constant", "step", "wsd"] = "cosine",
    cooldown: Fraction = 0.4,
    warmup: Positive = 0.0,
    label_smoothing: Fraction = 0.0,
    balance: Literal["none", "weights", "sampling"] = "none",
    clip: Positive | None = None,
    ema: Fraction | None = None,
    lookahead: Count | None = None,
    patience: Natural | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    loss: Function | None = None,
    metric: Function | None = None,
    callback: Function | None = None,
    run: Run,
) -> Model:
    """Trains a net from random weights.

    Args:
        tokenizer: what reads texts, as `prepare.bpe` makes it; the model keeps it. Pictures take none.
        net_options: what the net's builder takes, such as {"width": 256}.
        image_size: the side pictures are resized to; None: their own size.
        max_tokens: tokens read of a text; None: those of the longest train row, 512 at most.
        batch_size: rows per step over all processes; None: 128, fewer where the train rows are few.
        optimizer: muon moves hidden matrices and filters along orthogonal directions, all else by sgd;
            muon_adamw all else by AdamW.
        rate: the peak rate; None: the optimizer's usual one, less for batches below 32.
        bias_rate: the peak rate of biases and norms; None: as the others, with muon that of sgd.
        head_rate: the peak rate of the last layer's weights; None: likewise.
        table_rate: the peak rate of tokens' vectors, and of a head tied to them; None: likewise.
        units: what rates and weight_decay are counted per: a step, or 1 024 rows. Per rows the batch size and
            the momentum change neither how far training goes nor how much weights decay.
        hidden_norm: fixed: muon keeps the norm of hidden matrices and filters instead of decaying them; for
            nets whose every hidden layer a norm follows, which does not hear how large they are.
        schedule: wsd: even after the warmup, then linearly to 0.
        cooldown: the share of the steps over which wsd falls.
        warmup: epochs over which the rate rises.
        label_smoothing: the share of each target that goes to all classes alike.
        balance: weights lets rows of rare classes count more; sampling lets all classes come equally often.
        clip: the longest gradient; longer ones are scaled down.
        ema: decay of a running average of the weights, which then answers.
        lookahead: every so many steps the weights go back half the way; a smoother path.
        patience: epochs without a better validation figure before it stops; the best epoch is kept.
        precision: of the arithmetic; auto: the fastest on this machine, a recorded decision.
        loss: (outputs, targets) -> a scalar or one number per row, in place of the task's.
        metric: (outputs, targets) -> number on numpy arrays, judged after each epoch.
        callback: called with each epoch's figures; True stops.
    """
    learnt = task_of(task)
    learnt.check(data, "train")
    assets = feeds.assets_of(learnt, data, image_size=image_size, teller=tokenizer, max_tokens=max_tokens)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = architecture.build(net, net_options or {}, feeds.in_shape(assets), learnt.num_outputs(data))
    supervised.prime(module, data, learnt, assets)
    settings = Settings(
        epochs=epochs, optimizer=optimizer, rate=rate, bias_rate=bias_rate, head_rate=head_rate,
        table_rate=table_rate, units=units, weight_decay=weight_decay, hidden_norm=hidden_norm,
        momentum=momentum, schedule=schedule, cooldown=cooldown, warmup=warmup, clip=clip, ema=ema,
        lookahead=lookahead, patience=patience, precision=precision, seed=seed,
    )  # fmt: skip
    lesson = Lesson(
        task=learnt, data=data, assets=assets, batch_size=batch_size, label_smoothing=label_smoothing,
        balance=balance, loss=loss, metric=metric,
        num_judged=supervised.num_judged(data) if patience is None else None,
    )  # fmt: skip
    lesson.fit(module, settings, run=run, callback=callback, about={"net": net})
    return backend.wrap(module.to("cpu"), task=task, assets=assets)
