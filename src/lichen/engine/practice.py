"""practice: the loop of learning by doing: rounds of acting and updating, in legs that begin anew.

A round is a function of (weights, memory, seed, its number). Environments are not kept in checkpoints: at the
start of a leg all copies begin an episode with a seed of (seed, leg), also in a run that nobody killed, and
checkpoints are taken there. So a killed run goes on to the same bytes. What a leg cuts off counts as cut off,
not as ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.environment import Environment
from lichen.core.progress import Run
from lichen.data import environments
from lichen.engine import execution, observations, optimizers, retry, rollout, schedules
from lichen.engine.acting import Act
from lichen.engine.backend import array_of, tensor_of
from lichen.engine.execution import Execution
from lichen.engine.gradient import Gradient
from lichen.engine.job import Fault
from lichen.engine.rollout import Rollout, Stage
from lichen.engine.scales import Scales
from lichen.engine.stride import are_sound
from lichen.engine.trainee import Trainee

LEG_STEPS = 1 << 16
"""Steps of all copies together from one checkpoint to the next: some seconds of a simple environment."""
POINTS = 200
"""Points of a history."""
PULSE_S = 0.1


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
    """

    num_steps: int
    round_steps: int
    rate: float
    schedule: str = "constant"
    judge_episodes: int = 0
    judge_every: int = 4096
    goal: float | None = None
    clip: float | None = None
    seed: int = 0

    @property
    def num_rounds(self) -> int:
        return max(1, math.ceil(self.num_steps / self.round_steps))

    def is_judged(self, done: int) -> bool:
        """Whether the weights are judged after so many rounds."""
        before, after = ((done - late) * self.round_steps // self.judge_every for late in (1, 0))
        return self.judge_episodes > 0 and (after > before or done == self.num_rounds)

    @property
    def leg_rounds(self) -> int:
        return max(1, LEG_STEPS // self.round_steps)


@dataclass(slots=True, kw_only=True)
class Practice:
    """One run of the loop: what learns, where, and everything that a checkpoint must hold.

    Args:
        agent: every net that learns, in one module; what does not require a gradient is kept with it.
        memory: tensors beside, such as a replay, which updates change in place.
        judge: (seed) -> what whole episodes return when the agent acts greedily.
        scales: in which it sees and earns; None: as the environment tells.
    """

    agent: nn.Module
    stage: Stage
    plan: Plan
    run: Run
    memory: Mapping[str, Tensor]
    trainee: Trainee
    judge: Callable[[int], np.ndarray]
    scales: Scales | None
    counted: list[tuple[list[float], list[int]]]
    pulse_s: float = 0.0

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

    def act(self, act: rollout.Act, num_steps: int) -> Rollout:
        """Acts, and counts the episodes that ended; what happened is told as the environment tells it."""
        if self.scales:
            self.scales.settle()
        found = self.stage.rollout(_through(self.scales, act), num_steps)
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
    memory: Mapping[str, Tensor] | None = None,
    scales: Scales | None = None,
) -> Practice:
    """A practice that has not begun.

    Args:
        greedy: (what copies see, in scales) -> the actions that the agent thinks best.
    """
    agent.to(run.device)
    optimizer = optimizers.build(agent, name="adam", rate=plan.rate, weight_decay=0.0)
    whole = nn.ModuleDict({"agent": agent, "scales": scales}) if scales else agent
    trainee = Trainee(whole, optimizer, None, None, holds_frozen=True)  # copies of nets follow them
    sees = _through(scales, lambda seen_NO, _: (greedy(seen_NO),) * 2)
    return Practice(
        agent=agent,
        stage=Stage(environment, num_envs),
        plan=plan,
        run=run,
        memory=memory or {},
        trainee=trainee,
        judge=partial(_judged, environment, plan.judge_episodes, lambda seen_NO: sees(seen_NO, 0)[0]),
        scales=scales,
        counted=[],
    )


def _through(scales: Scales | None, act: rollout.Act) -> rollout.Act:
    """Acts on what copies see in the scales that are in force."""
    return act if scales is None else lambda seen_NO, step: act(scales.normalised(seen_NO), step)


def practise(practice: Practice, round: Callable[[Practice], Mapping[str, float]]) -> None:
    """Goes through the rounds of a plan; the agent is changed in place.

    Args:
        round: acts and updates; figures of it for the history. It may raise Fell.

    Raises:
        DivergedError: numbers were none, also at an eighth of the rate.
    """
    trainee, plan, run = practice.trainee, practice.plan, practice.run
    with execution.in_force(Execution(), run.device), closing(practice.stage):
        _go_on(practice)
        anchor = trainee.snapshot()
        while trainee.step < plan.num_rounds:
            leg = trainee.step // plan.leg_rounds
            practice.stage.reset(environments.seed_of("train", execution.mixed(plan.seed, ~leg)))
            try:
                is_done = _leg(practice, round, (leg + 1) * plan.leg_rounds)
            except Fell as fell:
                fault = Fault(trainee.step, fell.loss, practice.rate)
                retry.go_back(trainee, anchor, fault, peak_rate=plan.rate, run=run)
                continue
            if is_done:
                break
            anchor = trainee.snapshot()
            _checkpoint(practice)
        trainee.settle()


def _leg(practice: Practice, round: Callable[[Practice], Mapping[str, float]], end: int) -> bool:
    """The rounds of one leg; whether the goal was reached."""
    trainee, plan = practice.trainee, practice.plan
    practice.counted.clear()
    while trainee.step < min(end, plan.num_rounds):
        torch.default_generator.manual_seed(execution.mixed(plan.seed, trainee.step))
        figures, rate = round(practice), practice.rate
        counters = trainee.counters
        counters["step"] += 1
        if plan.is_judged(counters["step"]):
            figures = {**figures, **_judge(practice)}
        _report(practice, figures, rate)
        if _is_reached(practice):
            return True
    return False


def _judge(practice: Practice) -> dict[str, float]:
    """Plays greedily, and keeps the weights when they were never better."""
    trainee, plan = practice.trainee, practice.plan
    value = float(practice.judge(execution.mixed(plan.seed + 1, trainee.step)).mean())
    best = trainee.counters["best_value"]
    if best is None or value >= best:
        trainee.keep_best(value, trainee.step)
    return {"judged_return": value}


def _judged(environment: Environment, num_episodes: int, greedy: Act, number: int) -> np.ndarray:
    """What so many episodes return, on training seeds by a number."""
    copies = environments.copies(environment, num_episodes)
    copies.reset(environments.seed_of("train", number))
    returns_N, _ = rollout.first_episodes(copies, greedy)
    copies.close()
    return returns_N


def _is_reached(practice: Practice) -> bool:
    counters, goal = practice.trainee.counters, practice.plan.goal
    best, step = counters["best_value"], counters["step"]
    if goal is None or best is None or best < goal:
        return False
    steps = step * practice.plan.round_steps
    return practice.run.decide("stop", lambda: {"round": step, "steps": steps})["round"] <= step


def _report(practice: Practice, figures: Mapping[str, float], rate: float) -> None:
    """A point of the history every so often and whenever it was judged, and a pulse for who watches."""
    plan, step = practice.plan, practice.trainee.step
    is_due = step % max(1, plan.num_rounds // POINTS) == 0 or step == plan.num_rounds
    if is_due or "judged_return" in figures:
        returns = [one for returns, _ in practice.counted for one in returns]
        lengths = [one for _, lengths in practice.counted for one in lengths]
        practice.counted.clear()
        told = {"epoch": step, "steps": step * plan.round_steps, **rollout.figures_of(returns, lengths),
                **figures, "rate": rate}  # fmt: skip
        practice.trainee.counters["history"].append(told)
        practice.run.emit("history", **told)
    now = time.monotonic()
    if now - practice.pulse_s >= PULSE_S:
        practice.pulse_s = now
        practice.run.emit("progress", done=step * plan.round_steps, total=plan.num_rounds * plan.round_steps)


def _go_on(practice: Practice) -> None:
    """Puts back the checkpoint of a killed run, and takes the decisions before it again as they were."""
    found = practice.run.restore()
    if found is None:
        return
    state, arrays = found
    tensors = {name: tensor_of(array).to(practice.run.device) for name, array in arrays.items()}
    own = {name.removeprefix("now/"): tensor for name, tensor in tensors.items() if name.startswith("now/")}
    practice.trainee.restore(state["now"], own)
    for name, tensor in practice.memory.items():
        tensor.copy_(tensors[f"memory/{name}"])
    for name in practice.trainee.counters["decisions"]:
        practice.run.decide(name, partial(practice.trainee.counters["decisions"].get, name))


def _checkpoint(practice: Practice) -> None:
    if not practice.run.wants_checkpoint():
        return
    arrays = {f"now/{name}": array_of(tensor) for name, tensor in practice.trainee.tensors().items()}
    arrays.update({f"memory/{name}": array_of(tensor) for name, tensor in practice.memory.items()})
    practice.run.checkpoint({"now": practice.trainee.counters}, arrays)
