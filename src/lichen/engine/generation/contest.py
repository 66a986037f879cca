"""contest: the loop in which a net that makes rows of a table and a critic of packs of them learn.

A critic that sees several rows at once notices when they are all alike (PacGAN: Lin et al. 2018). The loss is
Wasserstein's with a gradient penalty, and levels that were asked for must be there.
Paper: Xu et al. 2019 (CTGAN), section 4.4.

Shapes: B rows of a batch, K classes, V levels, W numbers of a row, P rows of a pack.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from lichen.core.errors import DivergedError
from lichen.core.progress import Run
from lichen.engine.generation import collapse, rivals
from lichen.engine.generation.adversary import ADVERSARIES
from lichen.engine.generation.asking import Asked, Table
from lichen.engine.training import execution, stride
from lichen.engine.training.ema import Average
from lichen.engine.training.execution import Execution
from lichen.engine.training.optimizers import Adam
from lichen.engine.training.trainee import Trainee
from lichen.nets.ctgan import Rows

LOOKS = 40
"""How often a training is looked at."""
WASSERSTEIN = ADVERSARIES["wasserstein"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the two learn; `pack` rows are judged together."""

    epochs: int
    batch_size: int
    pack: int
    rate: float
    betas: tuple[float, float]
    penalty: float
    ema: float
    seed: int


@dataclass(slots=True)
class Contest:
    """Everything of one training."""

    generator: Trainee
    critic: Trainee
    table: Table
    terms: Terms
    run: Run

    @property
    def step(self) -> int:
        return self.critic.step

    @property
    def total(self) -> int:
        return self.terms.epochs * max(1, len(self.table.y_N) // self.terms.batch_size)

    @property
    def maker(self) -> Rows:
        assert isinstance(self.generator.module, Rows)
        return self.generator.module

    @property
    def sides(self) -> dict[str, Trainee]:
        return {"generator": self.generator, "critic": self.critic}


def hold(maker: Rows, critic: nn.Module, table: Table, terms: Terms, *, run: Run) -> Contest:
    """Trains both in place; the maker's average is in its trainee.

    Raises:
        DivergedError: a loss is not finite, or the maker has collapsed.
    """
    contest = Contest(
        Trainee(maker, _adam(maker, terms), Average(maker, terms.ema), None),
        Trainee(critic, _adam(critic, terms), None, None), table=table, terms=terms, run=run,
    )  # fmt: skip
    if found := run.restore():
        rivals.restore(run, contest.sides, *found)
    with execution.in_force(Execution(), run.device):
        while contest.step < contest.total:
            asked, made = _step(contest)
            _look(contest, asked, made)
            rivals.checkpoint(run, contest.sides, {})
    return contest


def _adam(module: nn.Module, terms: Terms) -> Adam:
    group = {"params": list(module.parameters()), "weight_decay": 0.0, "lr": terms.rate, "scale": 1.0}
    return Adam([group], is_decoupled=False, beta1=terms.betas[0], beta2=terms.betas[1])


def _step(contest: Contest) -> tuple[Asked, Tensor]:
    """One step of each side, on rows and codes that are a function of (seed, step)."""
    terms, maker, critic = contest.terms, contest.maker, contest.critic.module
    stride.reseed(execution.mixed(terms.seed, contest.step), contest.run.device)
    asked = contest.table.drawn(terms.batch_size)
    maker.train()
    _, num_own, num_noise = maker.parts
    raw = maker.raw(asked.classes, asked.marks, torch.randn(terms.batch_size, num_own))
    made = maker.shaped(raw, torch.randn(terms.batch_size, num_noise))
    critic.requires_grad_(False)
    loss = WASSERSTEIN.generator(made[:0, 0], said(critic, made, asked, terms.pack))
    loss = loss + contest.table.missed(raw, asked)
    critic.requires_grad_(True)
    _descend(contest, contest.generator, loss)
    assert contest.generator.average
    contest.generator.average.update(contest.generator.step)
    packs = [packed(x, asked, terms.pack) for x in (asked.real, made.detach())]
    says = [critic(x)[:, 0] for x in packs]
    against = WASSERSTEIN.discriminator(*says)
    assert WASSERSTEIN.penalty
    slope = WASSERSTEIN.penalty(lambda x: critic(x)[:, 0], *packs)
    _descend(contest, contest.critic, against + terms.penalty * slope)
    return asked, made.detach()


def packed(x_BW: Tensor, asked: Asked, pack: int) -> Tensor:
    """(B / P, P (W + K + V)): rows beside what they were asked to be, so many at a time."""
    return torch.cat([x_BW, asked.classes, asked.marks], 1).view(len(x_BW) // pack, -1)


def said(critic: nn.Module, x_BW: Tensor, asked: Asked, pack: int) -> Tensor:
    """(B / P,): what the critic says of packs."""
    return critic(packed(x_BW, asked, pack))[:, 0]


def _descend(contest: Contest, side: Trainee, loss: Tensor) -> None:
    """New weights of one side.

    Raises:
        DivergedError: the loss or a gradient is not finite.
    """
    loss.backward()
    if not isfinite(value := float(loss.detach())) or not stride.are_finite(side.optimizer.parameters()):
        rate = contest.terms.rate
        raise DivergedError(f"a loss became {value} at step {contest.step} with rate {rate:.3g}",
                            hint=f"try a rate of {rate / 4:.1g}")  # fmt: skip
    side.optimizer.step()
    side.optimizer.zero_grad()
    side.counters["step"] += 1
    side.counters["loss_sum"] += value
    side.counters["num_rows"] += 1


@torch.no_grad()
def _look(contest: Contest, asked: Asked, made: Tensor) -> None:
    """Every so often: how the two stand, told, and judged."""
    if contest.step % max(1, contest.total // LOOKS) and contest.step != contest.total:
        return
    terms, history = contest.terms, contest.generator.counters["history"]
    says = [said(contest.critic.module, x, asked, terms.pack) for x in (asked.real, made)]
    y_B = asked.classes.argmax(1)
    figures = {
        "epoch": round(terms.epochs * contest.step / contest.total, 3),
        "feature_rank": collapse.rank_share(asked.real, made, y_B),
        "discriminator_accuracy": collapse.accuracy(*says),
    }
    for side, name in ((contest.generator, "generator_loss"), (contest.critic, "discriminator_loss")):
        figures[name] = side.counters["loss_sum"] / max(1, side.counters["num_rows"])
        side.counters.update(loss_sum=0.0, num_rows=0)
    history.append(figures)
    contest.run.emit("history", **figures)
    contest.run.emit("progress", done=contest.step, total=contest.total)
    collapse.check(history, done=contest.step / contest.total, dies=False)
