"""duel: the loop in which a generator and a discriminator learn against each other.

A step is a function of (weights, real rows, seed, step): torch's generator is seeded anew at each, so a run
killed anywhere goes on to the same bytes. The pictures that the generator is judged by are those that the
discriminator then learns from: one pass through the generator serves both.

Shapes: B rows of a batch, K classes, Z numbers of a code, C channels, H height, W width, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

from lichen.core.errors import DivergedError
from lichen.core.progress import Run
from lichen.data.batches import Batch, Batches
from lichen.engine import collapse, diffaugment, execution, generating, optimizers, schedules, stride
from lichen.engine.adversary import ADVERSARIES, Adversary
from lichen.engine.backend import array_of, tensor_of
from lichen.engine.ema import Average
from lichen.engine.execution import Execution
from lichen.engine.optimizers import Adam
from lichen.engine.trainee import Trainee
from lichen.nets import generator as net

LOOKS = 40
"""How often a training is looked at, spread over its steps."""
NUM_LOOKED = 64
"""Rows of each kind that a look asks about."""


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
    show: Callable[[Duel, float], None] | None = None

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


def fight(
    generator: nn.Module,
    discriminator: nn.Module,
    batches: Batches,
    rules: Rules,
    *,
    run: Run,
    show: Callable[[Duel, float], None] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Duel:
    """Trains both in place.

    Args:
        show: called at every look, with the share of the training that is over.
        about: what the measured execution depends on beside shapes.

    Raises:
        DivergedError: a loss is not finite, or the generator has collapsed.
    """
    for module in (generator, discriminator):
        module.to(run.device)
    found = run.restore()
    chosen = _execution(generator, discriminator, batches, rules, run, about, found)
    for module in (generator, discriminator):
        chosen.place(module)
    sides = (
        Trainee(generator, _adam(generator, rules.rate, rules), Average(generator, rules.ema), None),
        Trainee(discriminator, _adam(discriminator, rules.discriminator_rate, rules), None, None),
    )
    duel = Duel(*sides, batches=batches, rules=rules, run=run, execution=chosen, show=show)
    if found:
        _go_on(duel, *found)
    with execution.in_force(chosen, run.device, generator):
        while duel.step < duel.total:
            number, start = divmod(duel.step, batches.steps_per_epoch)
            for batch in batches.epoch(number, start):
                _stride(duel, batch)
                _look(duel, batch)
                _checkpoint(duel)
    return duel


def _adam(module: nn.Module, rate: float, rules: Rules) -> Adam:
    group = {"params": list(module.parameters()), "weight_decay": 0.0, "lr": rate, "scale": 1.0}
    return Adam([group], is_decoupled=False, beta1=rules.betas[0], beta2=rules.betas[1])


def with_spectral_norm(discriminator: nn.Module) -> nn.Module:
    """Every layer's matrix divided by its largest singular value, in place (Miyato et al. 2018)."""
    for layer in list(discriminator.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(layer)
    return discriminator


def plain(discriminator: nn.Module) -> nn.Module:
    """The same with the matrices as they are used, so that the net's file alone rebuilds it."""
    discriminator.eval()
    for layer in list(discriminator.modules()):
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight")
    return discriminator


class _Both(nn.Module):
    """The two as one, to be timed together."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator


def _execution(
    generator: nn.Module, discriminator: nn.Module, batches: Batches, rules: Rules, run: Run,
    about: Mapping[str, Any] | None, found: tuple[dict[str, Any], Any] | None,
) -> Execution:  # fmt: skip
    if found:
        return Execution(**run.decide("execution", lambda: found[0]["execution"]))
    batch, adversary = next(iter(batches.epoch(0))), ADVERSARIES[rules.loss]
    # Gradients of gradients are taken in float32.
    precision = "float32" if rules.precision == "auto" and adversary.penalty else rules.precision

    def objective(both: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        assert isinstance(both, _Both)
        real = generating.from_pixels(x_BCHW).to(memory_format=_layout(both.discriminator))
        made = both.generator(_codes(y_B, rules))
        says = [_said(both.discriminator, x, y_B) for x in (real, made, made.detach())]
        return adversary.generator(says[0], says[1]) + adversary.discriminator(says[0], says[2])

    with torch.random.fork_rng(devices=[]):
        return execution.decide(
            _Both(generator, discriminator), (batch.images, batch.targets), objective, precision=precision,
            num_steps=rules.epochs * batches.steps_per_epoch, run=run,
            about={"batch": list(batch.images.shape), "loss": rules.loss, **(about or {})},
        )  # fmt: skip


def _layout(module: nn.Module) -> torch.memory_format:
    weights = next(parameter for parameter in module.parameters() if parameter.ndim == 4)
    is_last = weights.is_contiguous(memory_format=torch.channels_last) and not weights.is_contiguous()
    return torch.channels_last if is_last else torch.contiguous_format


def _codes(y_B: Tensor, rules: Rules) -> Tensor:
    """(B, K + Z): classes with codes drawn now."""
    classes_BK = functional.one_hot(y_B, rules.num_classes).float()
    return net.codes(classes_BK, torch.randn(len(y_B), rules.num_codes, device=y_B.device))


def _said(discriminator: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
    """(B,): what is said of each picture as one of its class."""
    return discriminator(x_BCHW).gather(1, y_B[:, None])[:, 0].float()


def _stride(duel: Duel, batch: Batch) -> None:
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
        made = duel.generator.module(_codes(y_B, rules))
        if not is_turn:
            return made.float(), torch.zeros(())
        judge.requires_grad_(False)
        says = _said(judge, diffaugment.apply(made.float(), rules.augment), y_B)
        against = says
        if duel.adversary.is_paired:
            with torch.no_grad():
                against = _said(judge, diffaugment.apply(real, rules.augment), y_B)
        judge.requires_grad_(True)
    return made.float(), duel.adversary.generator(against, says)


def _against(duel: Duel, real: Tensor, made: Tensor, y_B: Tensor) -> Tensor:
    """What the discriminator has to make small."""
    rules, judge, adversary = duel.rules, duel.discriminator.module, duel.adversary
    varied = [diffaugment.apply(x, rules.augment) for x in (real, made)]
    with duel.execution.autocast(duel.run.device):
        says = _said(judge, torch.cat(varied), torch.cat([y_B, y_B]))
    loss = adversary.discriminator(*says.chunk(2))
    weight = adversary.weight if rules.penalty is None else rules.penalty
    if adversary.penalty is not None and weight:
        loss = loss + weight * adversary.penalty(lambda x: _said(judge, x, y_B), *varied)
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


def _look(duel: Duel, batch: Batch) -> None:
    """Every so often: how the two stand, told, and judged."""
    every = max(1, duel.total // LOOKS)
    if duel.step % every and duel.step != duel.total:
        return
    done = duel.step / duel.total
    figures = {"epoch": round(duel.step / duel.batches.steps_per_epoch, 3), **_figures(duel, batch)}
    for side, name in ((duel.generator, "generator_loss"), (duel.discriminator, "discriminator_loss")):
        figures[name] = side.counters["loss_sum"] / max(1, side.counters["num_rows"])
        side.counters.update(loss_sum=0.0, num_rows=0)
    duel.history.append(figures)
    duel.run.emit("history", **figures)
    duel.run.emit("progress", done=duel.step, total=duel.total)
    collapse.check(duel.history, done=done, dies=duel.adversary.dies)
    if duel.show:
        duel.show(duel, done)


@torch.no_grad()
def _figures(duel: Duel, batch: Batch) -> dict[str, float]:
    """The rank of made pictures' features as a share of real ones', and how well the two are told apart."""
    judge, y_B = duel.discriminator.module.eval(), batch.targets[:NUM_LOOKED].to(duel.run.device)
    real = generating.from_pixels(batch.images[:NUM_LOOKED].to(duel.run.device))
    made = duel.generator.module(_codes(y_B, duel.rules))
    features: Callable[[Tensor], Tensor] = judge.features  # type: ignore[assignment]
    rank = collapse.rank_share(features(real).flatten(1), features(made).flatten(1), y_B)
    return {"rank": rank, "accuracy": collapse.accuracy(*(_said(judge, x, y_B) for x in (real, made)))}


def _checkpoint(duel: Duel) -> None:
    if duel.run.wants_checkpoint():
        sides = {"generator": duel.generator, "discriminator": duel.discriminator}
        state = {"execution": asdict(duel.execution), **{name: side.counters for name, side in sides.items()}}
        duel.run.checkpoint(state, {f"{name}/{key}": array_of(tensor) for name, side in sides.items()
                                    for key, tensor in side.tensors().items()})  # fmt: skip


def _go_on(duel: Duel, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Puts a checkpoint back."""
    for name, side in (("generator", duel.generator), ("discriminator", duel.discriminator)):
        held = {key.removeprefix(f"{name}/"): tensor_of(array).to(duel.run.device)
                for key, array in arrays.items() if key.startswith(f"{name}/")}  # fmt: skip
        side.restore(state[name], held)
