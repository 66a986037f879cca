"""finetune: a trained model learns other rows or labels: a new head first, then what is not frozen.

The head of a model whose labels are not the data's is replaced and trained alone on features that the body
computes once; only then is the body touched, so that a random head's first gradients do not undo what it
knew.
Paper: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features", section 4.
"""

from __future__ import annotations

from typing import Literal

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Function, Natural, Positive, Seed
from lichen.core.step import step
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend, layers
from lichen.engine.task import task_of
from lichen.engine.training import probe, start, supervised
from lichen.engine.training.job import Settings
from lichen.engine.training.lesson import Lesson
from lichen.engine.training.phase import Phase


@step(splits=("train", "validation"), without={"freeze": "body"})
def finetune(
    model: Model,
    data: Dataset,
    *,
    epochs: Count = 5,
    head_epochs: Natural = 20,
    freeze: Literal["none", "norms", "stem", "half", "body"] = "norms",
    head: Literal["auto", "keep", "new"] = "auto",
    head_kind: Literal["linear", "mlp", "cosine"] | None = None,
    layer_decay: Fraction = 0.8,
    rates: dict | None = None,
    gradual: Fraction = 0.0,
    batch_size: Count | None = None,
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "adamw",
    rate: Positive | None = None,
    head_rate: Positive = 0.003,
    weight_decay: Positive = 0.01,
    momentum: Fraction = 0.9,
    schedule: Literal["cosine", "linear", "triangular", "constant", "step"] = "cosine",
    warmup: Positive = 0.5,
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
    """Trains a model further on other data; its normalisation and picture size stay.

    Args:
        epochs: over the train rows, after those of a new head alone.
        head_epochs: of a new head on cached features of the rows as they are; they cost seconds.
        freeze: what keeps its weights: nothing, the norms (few rows give them worse figures than they have),
            the first layer, the first half of the layers, or all but the head. Without augmentation a frozen
            body is asked only once for each row.
        head: auto replaces it where the data's labels are not the model's, or where it is of another kind;
            keep insists on it; new replaces it.
        head_kind: linear, mlp (one hidden layer as wide as the features) or cosine (a scaled cosine of
            features and weights); None: as it is.
        layer_decay: the rate of each layer is this times that of the layer after it.
        rates: shares of the rate by part of the net beside that, such as {head: 10, layer1: 0.5}.
        gradual: the share of the epochs over which layers join the training one by one, the head first
            (Howard and Ruder 2018, section 3.3); 0: all from the start.
        batch_size: rows per step over all processes; None: 128, fewer where the train rows are few.
        optimizer: muon moves hidden matrices and filters along orthogonal directions, all else by sgd.
        rate: the peak rate; None: the optimizer's usual one.
        head_rate: that of the new head alone.
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
    task = task_of(model.task)
    task.check(data, "train")
    began = start.of(model, data, task.num_outputs(data), head=head, kind=head_kind, seed=seed)
    layers.check_parts(began.module, rates or {})
    settings = Settings(
        epochs=epochs, optimizer=optimizer, rate=rate, weight_decay=weight_decay, momentum=momentum,
        layer_decay=layer_decay, parts=rates or {}, gradual=gradual, schedule=schedule, warmup=warmup,
        clip=clip, ema=ema, lookahead=lookahead, patience=patience, precision=precision, seed=seed,
    )  # fmt: skip
    lesson = Lesson(
        task=task, data=data, assets=began.assets, batch_size=batch_size, label_smoothing=label_smoothing,
        balance=balance, loss=loss, metric=metric,
        num_judged=supervised.num_judged(data) if patience is None else None,
    )  # fmt: skip
    is_warmed = began.is_new and head_epochs > 0
    is_probe = freeze == "body" and not data.policy and not feeds.tells_tokens(began.assets)
    cache = (
        probe.cached(began.module, lesson, precision=precision, run=run) if is_warmed or is_probe else None
    )
    if cache is not None and is_warmed:
        alone = Settings(
            epochs=head_epochs, optimizer="adamw", rate=head_rate, weight_decay=weight_decay, seed=seed
        )
        probe.train(began.module, cache, lesson, alone, run=Phase(run, "head"))
    if cache is not None and is_probe:
        probe.train(began.module, cache, lesson, settings, run=run, callback=callback)
    else:
        layers.freeze(began.module, freeze)
        lesson.fit(
            began.module, settings, run=run, callback=callback, about={"net": model.net, "freeze": freeze}
        )
    weights = backend.arrays_of(began.module.to("cpu"))
    return model.with_weights(weights, options=began.options, assets=began.assets)
