"""bout: one step of a generator and a discriminator against each other.

A step is a function of (weights, real rows, seed, step): torch's generator is seeded anew at each, so a run
killed anywhere goes on to the same bytes. The pictures that the generator is judged by are those that the
discriminator then learns from: one pass through the generator serves both.

Shapes: B rows of a batch, K classes, Z numbers of a code, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import DivergedError
from lichen.core.progress import Run
from lichen.data.batches import Batch, Batches
from lichen.engine.generation import diffaugment, generating
from lichen.engine.generation.adversary import ADVERSARIES, Adversary
from lichen.engine.training import execution, optimizers, schedules, stride
from lichen.engine.training.execution import Execution
from lichen.engine.training.trainee import Trainee
from lichen.nets import generator as net


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the two learn.

    Args:
        critic_steps: of the discriminator for each one of the generator.
        penalty: the weight of the loss's penalty; None: its usual one.
        augment: ways of DiffAugment.
        betas: of Adam.
    """

    loss: str
    epochs: int
    num_codes: int
    num_classes: int
    rate: float
    discriminator_rate: float
    betas: tuple[float, float] = (0.0, 0.99)
    critic_steps: int = 1
    penalty: float | None = None
    augment: tuple[str, ...] = ()
    ema: float = 0.999
    schedule: str = "constant"
    precision: str = "auto"
    seed: int = 0


@dataclass(slots=True)
class Duel:
    """Everything of one training: what changes lies in the two trainees and the history."""

    generator: Trainee
    discriminator: Trainee
    batches: Batches
    rules: Rules
    run: Run
    execution: Execution = field(default_factory=Execution)
    show: Callable[[Duel], None] | None = None

    @property
    def adversary(self) -> Adversary:
        return ADVERSARIES[self.rules.loss]

    @property
    def total(self) -> int:
        return self.rules.epochs * self.batches.steps_per_epoch

    @property
    def step(self) -> int:
        return self.discriminator.step

    @property
    def history(self) -> list[dict[str, Any]]:
        return self.generator.counters["history"]


def codes(y_B: Tensor, rules: Rules) -> Tensor:
    """(B, K + Z): classes with codes drawn now."""
    classes_BK = functional.one_hot(y_B, rules.num_classes).float()
    return net.codes(classes_BK, torch.randn(len(y_B), rules.num_codes, device=y_B.device))


def said(discriminator: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
    """(B,): what is said of each picture as one of its class."""
    return discriminator(x_BCHW).gather(1, y_B[:, None])[:, 0].float()


def step(duel: Duel, batch: Batch) -> None:
    """One step of the discriminator, and of the generator where it is its turn."""
    rules, device = duel.rules, duel.run.device
    stride.reseed(execution.mixed(rules.seed, duel.step), device)
    real = duel.execution.place_batch(generating.from_pixels(batch.images.to(device)))
    y_B = batch.targets.to(device)
    duel.generator.module.train()
    duel.discriminator.module.train()
    is_turn = (duel.step + 1) % rules.critic_steps == 0
    with nullcontext() if is_turn else torch.no_grad():
        made, loss = _made(duel, real, y_B, is_turn=is_turn)
    if is_turn:
        _descend(duel, duel.generator, loss, rules.rate)
        assert duel.generator.average
        duel.generator.average.update(duel.generator.step)
        duel.generator.counters["loss_sum"] += float(loss.detach())
        duel.generator.counters["num_rows"] += 1
    against = _against(duel, real, made.detach(), y_B)
    _descend(duel, duel.discriminator, against, rules.discriminator_rate)
    duel.discriminator.counters["loss_sum"] += float(against.detach())
    duel.discriminator.counters["num_rows"] += 1


def _made(duel: Duel, real: Tensor, y_B: Tensor, *, is_turn: bool) -> tuple[Tensor, Tensor]:
    """Pictures, and what the generator has to make small; no loss where it is not its turn."""
    rules, judge = duel.rules, duel.discriminator.module
    with duel.execution.autocast(duel.run.device):
        made = duel.generator.module(codes(y_B, rules))
        if not is_turn:
            return made.float(), torch.zeros(())
        judge.requires_grad_(False)
        says = said(judge, diffaugment.apply(made.float(), rules.augment), y_B)
        against = says
        if duel.adversary.is_paired:
            with torch.no_grad():
                against = said(judge, diffaugment.apply(real, rules.augment), y_B)
        judge.requires_grad_(True)
    return made.float(), duel.adversary.generator(against, says)


def _against(duel: Duel, real: Tensor, made: Tensor, y_B: Tensor) -> Tensor:
    """What the discriminator has to make small."""
    rules, judge, adversary = duel.rules, duel.discriminator.module, duel.adversary
    varied = [diffaugment.apply(x, rules.augment) for x in (real, made)]
    with duel.execution.autocast(duel.run.device):
        says = said(judge, torch.cat(varied), torch.cat([y_B, y_B]))
    loss = adversary.discriminator(*says.chunk(2))
    weight = adversary.weight if rules.penalty is None else rules.penalty
    if adversary.penalty is not None and weight:
        loss = loss + weight * adversary.penalty(lambda x: said(judge, x, y_B), *varied)
    return loss


def _descend(duel: Duel, side: Trainee, loss: Tensor, rate: float) -> None:
    """New weights of one side.

    Raises:
        DivergedError: the loss or a gradient is not finite.
    """
    loss.backward()
    value, parameters = float(loss.detach()), side.optimizer.parameters()
    if not isfinite(value) or not stride.are_finite(parameters):
        raise DivergedError(
            f"the loss of the {'generator' if side is duel.generator else 'discriminator'} became {value} at"
            f" step {duel.step} with rate {rate:.3g}", hint=f"try a rate of {rate / 4:.1g}",
        )  # fmt: skip
    shape = schedules.factor(duel.rules.schedule, duel.step, total=duel.total, warmup=0)
    optimizers.set_rate(side.optimizer, rate * shape)
    side.optimizer.step()
    side.optimizer.zero_grad()
    side.counters["step"] += 1
