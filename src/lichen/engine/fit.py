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
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lichen.core.errors import DivergedError, UsageError
from lichen.core.progress import Run
from lichen.engine import execution, layers, optimizers, resume, schedules
from lichen.engine.ema import Average
from lichen.engine.execution import Execution, Objective
from lichen.engine.job import Batches, Fault, Job, Judge, Settings
from lichen.engine.trainee import Trainee

RETRIES = 3
PULSE_S = 0.1
"""At most ten progress events a second."""


def fit(
    module: nn.Module,
    batches: Batches,
    settings: Settings,
    *,
    objective: Objective,
    run: Run,
    judge: Judge | None = None,
    callback: Callable[[dict[str, Any]], Any] | None = None,
    about: Mapping[str, Any] | None = None,
    chosen: Execution | None = None,
) -> list[dict[str, Any]]:
    """Trains a module in place.

    Args:
        objective: (module, x, y) -> loss, a scalar or per row; x as the batches give it.
        callback: called with each epoch's figures; True stops.
        about: what the measured execution depends on beside shapes, such as the net's address.
        chosen: how to compute; None: decided by measuring.

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
    rate = (
        settings.rate
        if settings.rate is not None
        else optimizers.usual_rate(settings.optimizer, batches.batch_size)
    )
    optimizer = optimizers.build(
        module, name=settings.optimizer, rate=rate, weight_decay=settings.weight_decay,
        momentum=settings.momentum, layer_decay=settings.layer_decay, parts=settings.parts,
    )  # fmt: skip
    trainee = Trainee(module, optimizer, Average(module, settings.ema) if settings.ema else None)
    job = Job(batches=batches, settings=settings, objective=objective, run=run, execution=chosen, judge=judge,
              callback=callback, peak_rate=rate, total=total)  # fmt: skip
    with execution.in_force(chosen, run.device, module):
        job.anchor = trainee.snapshot()
        if found:
            resume.go_on(job, trainee, *found)
        _train(job, trainee)
    return trainee.counters["history"]


def _execution(
    module: nn.Module, batches: Batches, settings: Settings, objective: Objective, run: Run,
    about: Mapping[str, Any] | None, total: int,
) -> Execution:  # fmt: skip
    x, y = next(iter(batches.epoch(0)))[:2]
    shapes = {
        "batch": list(x.shape),
        "parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
    }
    return execution.decide(module, (x, y), objective, precision=settings.precision, num_steps=total, run=run,
                            about={**shapes, **(about or {})})  # fmt: skip


def _train(job: Job, trainee: Trainee) -> None:
    net = _distributed(trainee.module)
    while trainee.step < job.total:
        fault = _epoch(job, trainee, net)
        if fault:
            _go_back(job, trainee, fault)
        elif _ends(job, trainee):
            break
        else:
            job.anchor = trainee.snapshot()
            _checkpoint(job, trainee)
    trainee.settle()


def _distributed(module: nn.Module) -> nn.Module:
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        return DistributedDataParallel(module)
    return module


def _epoch(job: Job, trainee: Trainee, net: nn.Module) -> Fault | None:
    """The rest of the epoch that the step counter is in, up to its end or the first fault."""
    number, start = divmod(trainee.step, job.batches.steps_per_epoch)
    parameters = [parameter for group in trainee.optimizer.param_groups for parameter in group["params"]]
    if job.settings.gradual:
        layers.thaw(trainee.module, parameters, number / (job.settings.gradual * job.settings.epochs))
    layers.set_modes(net)
    counters, is_shared = trainee.counters, ranks()[1] > 1
    for x, y, _, weights in job.batches.epoch(number, start):
        _seed(job, counters["step"])
        rate = rate_at(job, trainee, counters["step"])
        loss = _loss(job, net, x, y, weights)
        (loss * _share(len(y), job.run.device) if is_shared else loss).backward()
        value, norm = loss.item(), _norm(parameters, job.settings.clip)
        # Ranks must agree: they share the reduced gradient, not the loss.
        if not math.isfinite(norm) or not (is_shared or math.isfinite(value)):
            trainee.optimizer.zero_grad()
            return Fault(counters["step"], value, rate)
        optimizers.set_rate(trainee.optimizer, rate)
        trainee.optimizer.step()
        trainee.optimizer.zero_grad()
        counters["step"] += 1
        counters["loss_sum"] += value * len(y)
        counters["num_rows"] += len(y)
        if trainee.average:
            trainee.average.update(counters["step"])
        _report(job, trainee)
        if counters["step"] % job.batches.steps_per_epoch:
            _checkpoint(job, trainee)
    return None


def _loss(job: Job, net: nn.Module, x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    x = x.to(job.run.device, non_blocking=True)
    y = y.to(job.run.device, non_blocking=True)
    if job.execution.precision == "float32":
        loss = job.objective(net, job.execution.place_batch(x), y)
    else:
        with job.execution.autocast(job.run.device):
            loss = job.objective(net, job.execution.place_batch(x), y).float()
    if weights is not None:
        if not loss.ndim:
            raise UsageError("a loss must be given per row where rows are weighed (favour, balance)",
                             hint="return one number per row, not their mean")  # fmt: skip
        loss = loss * weights
    return loss.mean() if loss.ndim and len(y) else loss.sum()


def _share(num_rows: int, device: str) -> float:
    """The weight of this rank's mean: the mean over ranks, which DDP takes, becomes the mean over rows."""
    all_rows = torch.tensor(float(num_rows), device=device)
    distributed.all_reduce(all_rows)
    return num_rows * ranks()[1] / all_rows.item()


def _norm(parameters: list[nn.Parameter], clip: float | None) -> float:
    """The norm of the whole gradient, which is scaled down to `clip` where it is longer."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))).item()
    if clip is not None and norm > clip:
        torch._foreach_mul_(gradients, clip / norm)
    return norm


def rate_at(job: Job, trainee: Trainee, step: int) -> float:
    settings = job.settings
    warmup = round(settings.warmup * job.batches.steps_per_epoch)
    shape = schedules.factor(settings.schedule, step, total=job.total, warmup=warmup)
    return job.peak_rate * trainee.counters["rate_scale"] * shape


def _seed(job: Job, step: int) -> None:
    rank, world = ranks()
    seed = execution.mixed(job.settings.seed, step * world + rank)
    torch.default_generator.manual_seed(seed)
    if job.run.device != "cpu":
        torch.cuda.manual_seed(seed)


def ranks() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) without torch.distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _report(job: Job, trainee: Trainee) -> None:
    now = time.monotonic()
    if now - job.pulse_s >= PULSE_S and ranks()[0] == 0:
        job.pulse_s = now
        job.run.emit("progress", done=trainee.step, total=job.total)


def _ends(job: Job, trainee: Trainee) -> bool:
    """Takes the figures of a finished epoch and says whether it was the last."""
    counters = trainee.counters
    epoch = trainee.step // job.batches.steps_per_epoch
    figures = {"epoch": epoch, "loss": _mean_loss(trainee), "rate": rate_at(job, trainee, trainee.step - 1)}
    if job.judge:
        figures.update(_judged(job, trainee))
    counters["history"].append(figures)
    counters.update(loss_sum=0.0, num_rows=0)
    job.run.emit("history", **figures)
    if job.callback and job.callback(dict(figures)) is True:
        return _stop(job, trainee, epoch)
    if job.judge and job.settings.patience is not None:
        return _waited_long(job, trainee, figures[job.judge.headline], epoch)
    return False


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
    assert job.judge is not None and job.settings.patience is not None
    best = trainee.counters["best_value"]
    sign = 1 if job.judge.higher_is_better else -1
    if best is None or sign * value > sign * best:
        trainee.keep_best(value, epoch)
    if epoch - trainee.counters["best_epoch"] >= job.settings.patience:
        return _stop(job, trainee, epoch)
    return False


def _stop(job: Job, trainee: Trainee, epoch: int) -> bool:
    choice = job.run.decide("stop", lambda: {"epoch": epoch, "best": trainee.counters["best_epoch"]})
    return epoch >= choice["epoch"]


def _go_back(job: Job, trainee: Trainee, fault: Fault) -> None:
    """Back to the start of the epoch with half the rate.

    Raises:
        DivergedError: that was tried often enough.
    """
    retries, scale = trainee.counters["retries"] + 1, trainee.counters["rate_scale"] / 2
    if retries > RETRIES:
        raise DivergedError(
            f"the loss became {fault.loss} at step {fault.step} with rate {fault.rate:.3g}, "
            f"after {RETRIES} retries",
            hint=f"try a rate below {job.peak_rate * scale:.1g}, warmup, or clip=1.0",
        )
    back_to, name = job.anchor[0]["step"], f"retry_{retries}"
    choice = job.run.decide(name, lambda: {"step": fault.step, "back_to": back_to, "rate_scale": scale})
    job.run.emit(
        "warning", text=f"loss {fault.loss} at step {fault.step}: back to step {back_to} at half the rate"
    )
    decisions = {**trainee.counters["decisions"], name: choice}
    trainee.restore(*job.anchor)
    trainee.counters.update(retries=retries, rate_scale=scale, decisions=decisions)


def _checkpoint(job: Job, trainee: Trainee) -> None:
    if ranks()[0] == 0:
        resume.keep(job, trainee)
