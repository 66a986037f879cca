"""fit: the one training loop.

A run is a pure function of (net, batches, settings): torch's generator is seeded anew at each step from
(seed, step), so a run killed anywhere goes on from its checkpoint to the same bytes. A loss that is not
finite never reaches the weights: training goes back to the start of the epoch and tries again at half
the rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lichen.core.errors import UsageError
from lichen.core.progress import Run
from lichen.data.batches import Epochs
from lichen.engine.modules import layers
from lichen.engine.training import execution, optimizers, resume, retry, treatments
from lichen.engine.training.ema import Average
from lichen.engine.training.execution import Execution, Objective
from lichen.engine.training.gradient import NUM_SMALL, Gradient
from lichen.engine.training.job import Fault, Job, Judge, Settings
from lichen.engine.training.lookahead import Lookahead
from lichen.engine.training.ranks import agreed, ranks, require_one_net
from lichen.engine.training.stride import loss_of, rate_at, stride
from lichen.engine.training.trainee import Trainee

PULSE_S = 0.1
"""At most ten progress events a second."""


def fit(
    module: nn.Module,
    batches: Epochs,
    settings: Settings,
    *,
    objective: Objective,
    run: Run,
    judge: Judge | None = None,
    callback: Callable[[dict[str, Any]], Any] | None = None,
    about: Mapping[str, Any] | None = None,
    chosen: Execution | None = None,
    is_repeatable: bool = False,
) -> list[dict[str, Any]]:
    """Trains a module in place.

    Args:
        objective: (module, x, y) -> loss, a scalar or per row; x as the batches give it.
        callback: called with each epoch's figures; True stops.
        about: what the measured execution depends on beside shapes, such as the net's address.
        chosen: how to compute; None: decided by measuring.
        is_repeatable: the loss depends on nothing but the batch, the weights and torch's generator, so that
            the kernels of a step may be recorded and played again; see `tape`.

    Returns:
        The history: per epoch `epoch`, `loss`, `rate` and the judge's figures.

    Raises:
        DivergedError: the loss was not finite, also at an eighth of the rate.
    """
    if settings.gradual and ranks()[1] > 1:
        raise UsageError("layers join one by one in a single process only; gradual must be 0 with several")
    module.to(run.device)
    total = settings.epochs * batches.steps_per_epoch
    found = run.restore()
    if found and chosen is None:
        # The choice of the killed run, whatever the table of decisions says by now.
        chosen = Execution(**run.decide("execution", lambda: found[0]["execution"]))
    elif chosen is None:
        chosen = _execution(module, batches, settings, objective, run, about, total)
    chosen.place(module)
    rate, unit = _rate(settings, batches.batch_size)
    optimizer = optimizers.build(
        module, name=settings.optimizer, rate=rate, weight_decay=settings.weight_decay,
        momentum=settings.momentum, layer_decay=settings.layer_decay, parts=settings.parts,
        bias_rate=settings.bias_rate, head_rate=settings.head_rate,
        table_rate=settings.table_rate, unit=unit, hidden_norm=settings.hidden_norm,
    )  # fmt: skip
    trainee = Trainee(
        module, optimizer, Average(module, settings.ema) if settings.ema else None,
        Lookahead(module, settings.lookahead) if settings.lookahead else None,
    )  # fmt: skip
    job = Job(batches=batches, settings=settings, objective=objective, run=run, execution=chosen, judge=judge,
              callback=callback, peak_rate=rate, total=total, device=run.device, is_repeatable=is_repeatable,
              parameters=optimizer.parameters())  # fmt: skip
    with execution.in_force(chosen, run.device, module):
        job.anchor = trainee.snapshot()
        if found:
            resume.go_on(job, trainee, *found)
        _train(job, trainee)
    return trainee.counters["history"]


def _rate(settings: Settings, batch_size: int) -> tuple[float, float | None]:
    """The peak rate as its unit counts it, and the unit where that is not a step."""
    unit = batch_size / treatments.UNIT_ROWS if settings.units == "rows" else None
    if settings.rate is not None:
        return settings.rate, unit
    return treatments.usual_rate(settings.optimizer, batch_size, momentum=settings.momentum, unit=unit), unit


def _execution(
    module: nn.Module, batches: Epochs, settings: Settings, objective: Objective, run: Run,
    about: Mapping[str, Any] | None, total: int,
) -> Execution:  # fmt: skip
    x, y = next(iter(batches.epoch(0)))[:2]
    shapes = {
        "batch": list(x.shape),
        "parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        **({"ranks": world} if (world := ranks()[1]) > 1 else {}),
    }
    return execution.decide(module, (x, y), objective, precision=settings.precision, num_steps=total, run=run,
                            about={**shapes, **(about or {})})  # fmt: skip


def _train(job: Job, trainee: Trainee) -> None:
    net = _distributed(trainee.module)
    job.gradient = Gradient(
        lambda x, y: loss_of(job, net, x, y), job.parameters, batch_size=_recorded_rows(job, trainee.module)
    )
    while trainee.step < job.total:
        fault = _epoch(job, trainee, net)
        if fault:
            retry.go_back(trainee, job.anchor, fault, peak_rate=job.peak_rate, run=job.run)
        elif _ends(job, trainee):
            break
        else:
            job.anchor = trainee.snapshot()
            _checkpoint(job, trainee)
    trainee.settle()


def _recorded_rows(job: Job, module: nn.Module) -> int:
    """Rows of the batches whose kernels are played again; 0: none.

    What is frozen counts, too: a tape holds all that a step computes.
    """
    size = sum(parameter.numel() for parameter in module.parameters())
    is_small = job.device == "cpu" and job.execution.precision == "float32" and size <= NUM_SMALL
    return job.batches.batch_size if job.is_repeatable and is_small else 0


def _distributed(module: nn.Module) -> nn.Module:
    return DistributedDataParallel(module) if ranks()[1] > 1 else module


def _epoch(job: Job, trainee: Trainee, net: nn.Module) -> Fault | None:
    """The rest of the epoch that the step counter is in, up to its end or the first fault."""
    number, start = divmod(trainee.step, job.batches.steps_per_epoch)
    if job.settings.gradual:
        layers.thaw(trainee.module, job.parameters, number / (job.settings.gradual * job.settings.epochs))
    layers.set_modes(net)
    for batch in job.batches.epoch(number, start):
        fault = stride(job, trainee, net, batch)
        if fault:
            return fault
        _report(job, trainee)
        if trainee.step % job.batches.steps_per_epoch:
            _checkpoint(job, trainee)
    return None


def _report(job: Job, trainee: Trainee) -> None:
    now = time.monotonic()
    if now - job.pulse_s >= PULSE_S and ranks()[0] == 0:
        job.pulse_s = now
        job.run.emit("progress", done=trainee.step, total=job.total)


def _ends(job: Job, trainee: Trainee) -> bool:
    """Takes the figures of a finished epoch and says whether it was the last."""
    require_one_net(job.parameters)
    counters = trainee.counters
    epoch = trainee.step // job.batches.steps_per_epoch
    figures = {"epoch": epoch, "loss": _mean_loss(trainee), "rate": rate_at(job, trainee, trainee.step - 1)}
    if job.judge:
        figures.update(agreed(lambda: _judged(job, trainee)))
    counters["history"].append(figures)
    counters.update(loss_sum=0.0, num_rows=0)
    job.run.emit("history", **figures)
    is_enough = bool(job.callback) and agreed(lambda: _told(job, figures))
    if job.judge and job.settings.patience is not None:
        is_enough |= _waited_long(job, trainee, figures[job.judge.headline], epoch)
    return is_enough and _stop(job, trainee, epoch)


def _told(job: Job, figures: dict[str, Any]) -> bool:
    """Whether the callback wants no more."""
    assert job.callback is not None
    return job.callback(dict(figures)) is True


def _mean_loss(trainee: Trainee) -> float:
    sums = [trainee.counters["loss_sum"], float(trainee.counters["num_rows"])]
    if ranks()[1] > 1:
        both = torch.tensor(sums, dtype=torch.float64)
        distributed.all_reduce(both)
        sums = both.tolist()
    return sums[0] / max(1.0, sums[1])


def _judged(job: Job, trainee: Trainee) -> dict[str, float]:
    """The judge's figures of the weights that would answer now."""
    assert job.judge is not None
    with trainee.answering() as module, torch.inference_mode(), job.execution.autocast(job.run.device):
        return job.judge.measure(module)


def _waited_long(job: Job, trainee: Trainee, value: float, epoch: int) -> bool:
    """Keeps the weights if they are the best so far, and says whether none were for `patience` epochs."""
    assert job.judge is not None and job.settings.patience is not None
    best = trainee.counters["best_value"]
    sign = 1 if job.judge.higher_is_better else -1
    if best is None or math.isnan(best) or sign * value > sign * best:
        trainee.keep_best(value, epoch)
        return False
    return bool(epoch - trainee.counters["best_epoch"] >= job.settings.patience)


def _stop(job: Job, trainee: Trainee, epoch: int) -> bool:
    choice = job.run.decide("stop", lambda: {"epoch": epoch, "best": trainee.counters["best_epoch"]})
    return epoch >= choice["epoch"]


def _checkpoint(job: Job, trainee: Trainee) -> None:
    if ranks()[0] == 0:
        resume.keep(job, trainee)
