"""stride: one step of training: a batch's loss and gradients, whether they are finite, new weights.

A step is a function of (weights, batch, seed, step). What is not finite is found in the step in which it
arises, before it reaches a weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, distributed, nn

from lichen.core.errors import UsageError
from lichen.data.batches import Batch
from lichen.engine.training import execution, optimizers, schedules
from lichen.engine.training.job import Fault, Job
from lichen.engine.training.ranks import ranks
from lichen.engine.training.trainee import Trainee


def stride(job: Job, trainee: Trainee, net: nn.Module, batch: Batch) -> Fault | None:
    """One step; the fault that it had, and then the weights are untouched."""
    counters, (rank, world) = trainee.counters, ranks()
    step, num_rows = counters["step"], len(batch.targets)
    rate = rate_at(job, trainee, step)
    reseed(execution.mixed(job.settings.seed, step * world + rank), job.device)
    value = _descended(job, net, batch, world).item()
    # Ranks must agree: they share the reduced gradient, not the loss.
    is_fine = are_sound(job.parameters, job.settings.clip)
    if not is_fine or not (world > 1 or math.isfinite(value)):
        trainee.optimizer.zero_grad()
        return Fault(step, value, rate)
    optimizers.set_rate(trainee.optimizer, rate)
    with job.execution.autocast(job.device):
        trainee.optimizer.step()
    trainee.optimizer.zero_grad()
    counters["step"] += 1
    counters["loss_sum"] += value * num_rows
    counters["num_rows"] += num_rows
    if trainee.lookahead:
        trainee.lookahead.update(counters["step"], is_last=counters["step"] == job.total)
    if trainee.average:
        trainee.average.update(counters["step"])
    return None


def rate_at(job: Job, trainee: Trainee, step: int) -> float:
    settings = job.settings
    warmup = round(settings.warmup * job.batches.steps_per_epoch)
    shape = schedules.factor(
        settings.schedule, step, total=job.total, warmup=warmup, cooldown=settings.cooldown
    )
    return job.peak_rate * trainee.counters["rate_scale"] * shape


def reseed(seed: int, device: str) -> None:
    """Starts torch's generators anew."""
    torch.default_generator.manual_seed(seed)
    if device != "cpu":
        torch.cuda.manual_seed(seed)


def _descended(job: Job, net: nn.Module, batch: Batch, world: int) -> Tensor:
    """The loss, whose gradients the parameters have afterwards."""
    x, y = batch.images, batch.targets
    if job.device != "cpu":
        x, y = x.to(job.device, non_blocking=True), y.to(job.device, non_blocking=True)
    if world == 1 and batch.weights is None and job.gradient:
        return job.gradient(x, y)
    loss = loss_of(job, net, x, y, batch.weights)
    (loss * _share(len(y), job.device, world) if world > 1 else loss).backward()
    return loss.detach()


def loss_of(job: Job, net: nn.Module, x: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean loss of a batch."""
    if job.execution.precision == "float32":
        loss = job.objective(net, job.execution.place_batch(x), y)
    else:
        with job.execution.autocast(job.device):
            loss = job.objective(net, job.execution.place_batch(x), y).float()
    if weights is not None:
        if not loss.ndim:
            raise UsageError("a loss must be given per row where rows are weighed (favour, balance)",
                             hint="return one number per row, not their mean")  # fmt: skip
        loss = loss * weights
    return loss.mean() if loss.ndim and len(y) else loss.sum()


def _share(num_rows: int, device: str, world: int) -> float:
    """The weight of this rank's mean: the mean over ranks, which DDP takes, becomes the mean over rows."""
    all_rows = torch.tensor(float(num_rows), device=device)
    distributed.all_reduce(all_rows)
    return num_rows * world / all_rows.item()


def are_sound(parameters: Sequence[nn.Parameter], longest: float | None) -> bool:
    """Whether all gradients are finite; scales them down where together they are longer than allowed."""
    return are_finite(parameters) if longest is None else _clipped(parameters, longest)


def are_finite(parameters: Sequence[nn.Parameter]) -> bool:
    """Whether no gradient holds an infinite number or one that is none; one kernel for all of them."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    found, one = _flags(gradients[0].device)
    torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, one)
    if found.item() == 0.0:
        return True
    found.zero_()
    return False


@lru_cache
def _flags(device: torch.device) -> tuple[Tensor, Tensor]:
    """What the kernel sets where it finds something, and what it multiplies by."""
    with torch.inference_mode(False):
        return torch.zeros((), device=device), torch.ones((), device=device)


def _clipped(parameters: Sequence[nn.Parameter], longest: float) -> bool:
    """Scales the gradient down to the longest allowed; False where its length is not finite."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))).item()
    if norm > longest:
        torch._foreach_mul_(gradients, longest / norm)
    return math.isfinite(norm)
