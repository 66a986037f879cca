"""apprentice: who learns by doing: an agent, its stage and its plan, and all that a checkpoint must hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from lichen.core.environment import Environment
from lichen.core.progress import Run
from lichen.data import environments
from lichen.engine import rollout
from lichen.engine.decision.acting import Act
from lichen.engine.decision.replay import Replay
from lichen.engine.decision.scales import Scales
from lichen.engine.inputs import observations
from lichen.engine.rollout import Rollout, Stage
from lichen.engine.training import execution, optimizers, schedules
from lichen.engine.training.ema import Average
from lichen.engine.training.gradient import Gradient
from lichen.engine.training.stride import are_sound
from lichen.engine.training.trainee import Trainee

LEG_STEPS = 1 << 16
"""Steps of all copies together from one checkpoint to the next: some seconds of a simple environment."""
LEAST_STEPS = 1 << 12
"""Of each copy, where many share a leg: at its end all begin anew, and most games are to be seen whole."""
NUM_FIRST, NUM_ERRORS = 10, 2.0
"""Episodes of a first look, and standard errors below a goal at which nobody plays the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how fast to learn.

    Args:
        num_steps: of the environment, all copies together; the last round is made whole.
        round_steps: of one round.
        judge_episodes: that are played greedily now and then; the best weights by their mean return are kept.
            0: none, and the last weights are kept.
        judge_every: steps of the environment from one judging to the next.
        goal: a judged return that ends the learning.
        clip: the longest gradient.
        average: the share of the running average of the weights that stays in a round; that average is what
            is judged and kept. 0: the weights as they are.
    """

    num_steps: int
    round_steps: int
    rate: float
    schedule: str = "constant"
    judge_episodes: int = 0
    judge_every: int = 4096
    goal: float | None = None
    clip: float | None = None
    average: float = 0.0
    seed: int = 0

    @property
    def num_rounds(self) -> int:
        return max(1, math.ceil(self.num_steps / self.round_steps))

    def is_judged(self, done: int) -> bool:
        """Whether the weights are judged after so many rounds."""
        before, after = ((done - late) * self.round_steps // self.judge_every for late in (1, 0))
        return self.judge_episodes > 0 and (after > before or done == self.num_rounds)


@dataclass(slots=True, kw_only=True)
class Practice:
    """One run of the loop: what learns, where, and everything that a checkpoint must hold.

    Args:
        agent: every net that learns, in one module; what does not require a gradient is kept with it.
        memory: the rows that are remembered; None: none are.
        judge: (seed) -> what whole episodes return when the agent acts greedily.
        scales: in which it sees and earns; None: as the environment tells.
    """

    agent: nn.Module
    stage: Stage
    plan: Plan
    run: Run
    memory: Replay | None
    trainee: Trainee
    judge: Callable[[int], np.ndarray]
    scales: Scales | None
    counted: list[tuple[list[float], list[int]]]
    pulse_s: float = 0.0

    @property
    def leg_rounds(self) -> int:
        """Rounds from one checkpoint to the next."""
        return max(1, max(LEG_STEPS, LEAST_STEPS * self.stage.num) // self.plan.round_steps)

    @property
    def shape(self) -> float:
        """The share of the peak rate that the schedule leaves to the round under way."""
        return schedules.factor(self.plan.schedule, self.trainee.step, total=self.plan.num_rounds)

    @property
    def rate(self) -> float:
        """The rate of the round under way."""
        return self.plan.rate * self.trainee.counters["rate_scale"] * self.shape

    @property
    def share(self) -> float:
        """How much of the plan is done, from 0 to 1."""
        return self.trainee.step / self.plan.num_rounds

    def draws(self) -> Any:
        """Random numbers of the round under way."""
        return rollout.generator(execution.mixed(self.plan.seed, self.trainee.step))

    def begin_anew(self, seed: int) -> None:
        """Every copy begins an episode, in which nothing is earned yet."""
        self.stage.reset(seed)
        if self.scales:
            self.scales.earned.begin_anew()

    def act(self, act: rollout.Act, num_steps: int) -> Rollout:
        """Acts, and counts the episodes that ended; what happened is told as the environment tells it.

        Raises:
            Fell: what was seen or earned is not finite; nobody is to count or remember it.
        """
        if self.scales:
            self.scales.settle()
        found = self.stage.rollout(_through(self.scales, act), num_steps)
        if not found.is_finite:
            raise Fell(math.nan)
        self.counted.append((found.returns, found.lengths))
        if self.scales:
            self.scales.count_in(found)
        return found

    def measured(self, found: Rollout) -> Rollout:
        """What happened as the agent sees it; pictures stay bytes until a net takes them."""
        return self.scales.measured(found) if self.scales else found

    def measured_rows(self, x_UB2O: Tensor, y_UBQ: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of a replay as the agent sees them now."""
        return self.scales.measured_rows(x_UB2O, y_UBQ) if self.scales else (x_UB2O, y_UBQ)

    def taken(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Rows where the agent lives, as its nets take them."""
        return observations.floats(x.to(self.run.device)), y.to(self.run.device)

    def descend(self, gradient: Gradient, x: Tensor, y: Tensor) -> float:
        """One step of the optimizer; the loss.

        Raises:
            Fell: the loss or a gradient was not finite; the weights are untouched.
        """
        optimizer = self.trainee.optimizer
        loss = gradient(*self.taken(x, y)).item()
        if not (math.isfinite(loss) and are_sound(gradient.parameters, self.plan.clip)):
            optimizer.zero_grad()
            raise Fell(loss if not math.isfinite(loss) else math.nan)
        optimizers.set_rate(optimizer, self.rate)
        optimizer.step()
        optimizer.zero_grad()
        return loss


class Fell(Exception):
    """A step whose numbers were none; caught by the loop."""

    def __init__(self, loss: float) -> None:
        super().__init__(loss)
        self.loss = loss


def begin(
    agent: nn.Module,
    environment: Environment,
    num_envs: int,
    plan: Plan,
    *,
    greedy: Act,
    run: Run,
    memory: Replay | None = None,
    scales: Scales | None = None,
) -> Practice:
    """A practice that has not begun.

    Args:
        greedy: (what copies see, in scales) -> the actions that the agent thinks best.
    """
    agent.to(run.device)
    optimizer = optimizers.build(agent, name="adam", rate=plan.rate, weight_decay=0.0)
    whole = nn.ModuleDict({"agent": agent, "scales": scales}) if scales else agent
    average = Average(whole, plan.average) if plan.average else None
    trainee = Trainee(whole, optimizer, average, None, holds_frozen=True)  # copies of nets follow them
    sees = _through(scales, lambda seen_NO, _: (greedy(seen_NO),) * 2)
    return Practice(
        agent=agent,
        stage=Stage(environment, num_envs),
        plan=plan,
        run=run,
        memory=memory,
        trainee=trainee,
        judge=partial(_judged, environment, plan, lambda seen_NO: sees(seen_NO, 0)[0]),
        scales=scales,
        counted=[],
    )


def _through(scales: Scales | None, act: rollout.Act) -> rollout.Act:
    """Acts on what copies see in the scales that are in force."""
    return act if scales is None else lambda seen_NO, step: act(scales.normalised(seen_NO), step)


def _judged(environment: Environment, plan: Plan, greedy: Act, number: int) -> np.ndarray:
    """What episodes return on training seeds by a number: as many as planned, but few far from a goal."""
    seed = environments.seed_of("train", number)
    if plan.goal is None or plan.judge_episodes <= NUM_FIRST:
        return _played(environment, plan.judge_episodes, greedy, seed)
    first = _played(environment, NUM_FIRST, greedy, seed)
    if first.mean() + NUM_ERRORS * first.std() / NUM_FIRST**0.5 < plan.goal:
        return first
    others = _played(environment, plan.judge_episodes - NUM_FIRST, greedy, seed + NUM_FIRST)
    return np.concatenate([first, others])


def _played(environment: Environment, num_episodes: int, greedy: Act, seed: int) -> np.ndarray:
    copies = environments.copies(environment, num_episodes)
    copies.reset(seed)
    returns_N, _ = rollout.first_episodes(copies, greedy)
    copies.close()
    return returns_N
