"""duel: the loop in which a generator and a discriminator learn against each other, looked at as it goes.

Shapes: B rows of a batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.progress import Run
from lichen.data.batches import Batches
from lichen.engine.generation import bout, collapse, generating, rivals
from lichen.engine.generation.adversary import ADVERSARIES
from lichen.engine.generation.bout import Duel, Rules
from lichen.engine.training import execution
from lichen.engine.training.ema import Average
from lichen.engine.training.execution import Execution
from lichen.engine.training.optimizers import Adam
from lichen.engine.training.trainee import Trainee

LOOKS = 40
"""How often a training is looked at, spread over its steps."""


def fight(
    generator: nn.Module,
    discriminator: nn.Module,
    batches: Batches,
    rules: Rules,
    *,
    run: Run,
    show: Callable[[Duel], None] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Duel:
    """Trains both in place.

    Args:
        show: called at every look.
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
        rivals.restore(run, _sides(duel), *found)
    with execution.in_force(chosen, run.device, _Both(generator, discriminator)):
        while duel.step < duel.total:
            number, start = divmod(duel.step, batches.steps_per_epoch)
            for batch in batches.epoch(number, start):
                bout.step(duel, batch)
                _look(duel)
                rivals.checkpoint(run, _sides(duel), {"execution": asdict(chosen)})
    return duel


def _adam(module: nn.Module, rate: float, rules: Rules) -> Adam:
    group = {"params": list(module.parameters()), "weight_decay": 0.0, "lr": rate, "scale": 1.0}
    return Adam([group], is_decoupled=False, beta1=rules.betas[0], beta2=rules.betas[1])


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
        made = both.generator(bout.codes(y_B, rules))
        says = [bout.said(both.discriminator, x, y_B) for x in (real, made, made.detach())]
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


def _look(duel: Duel) -> None:
    """Every so often: how the two stand, told, and judged."""
    every = max(1, duel.total // LOOKS)
    if duel.step % every and duel.step != duel.total:
        return
    done = duel.step / duel.total
    figures = {"epoch": round(duel.step / duel.batches.steps_per_epoch, 3), **_figures(duel)}
    for side, name in ((duel.generator, "generator_loss"), (duel.discriminator, "discriminator_loss")):
        figures[name] = side.counters["loss_sum"] / max(1, side.counters["num_rows"])
        side.counters.update(loss_sum=0.0, num_rows=0)
    duel.history.append(figures)
    duel.run.emit("history", **figures)
    duel.run.emit("progress", done=duel.step, total=duel.total)
    collapse.check(duel.history, done=done, dies=duel.adversary.dies)
    if duel.show:
        duel.show(duel)


@torch.no_grad()
def _figures(duel: Duel) -> dict[str, float]:
    """The rank of made pictures' features as a share of real ones', and how well the two are told apart."""
    judge, y_N = duel.discriminator.module.eval(), duel.batches.targets.cpu()
    chosen_B = collapse.looked(y_N, seed=duel.rules.seed, step=duel.step)
    y_B = y_N[chosen_B].to(duel.run.device)
    real = generating.from_pixels(duel.batches.at(chosen_B).to(duel.run.device))
    made = duel.generator.module(bout.codes(y_B, duel.rules))
    features: Callable[[Tensor], Tensor] = judge.features  # type: ignore[assignment]
    rank = collapse.rank_share(features(real).flatten(1), features(made).flatten(1), y_B)
    return {
        "feature_rank": rank,
        "discriminator_accuracy": collapse.accuracy(*(bout.said(judge, x, y_B) for x in (real, made))),
    }


def _sides(duel: Duel) -> dict[str, Trainee]:
    return {"generator": duel.generator, "discriminator": duel.discriminator}
