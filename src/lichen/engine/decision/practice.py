"""practice: the loop of learning by doing: rounds of acting and updating, in legs that begin anew.

A round is a function of (weights, memory, seed, its number). Environments are not kept in checkpoints: at the
start of a leg all copies begin an episode with a seed of (seed, leg), also in a run that nobody killed, and
checkpoints are taken there. So a killed run goes on to the same bytes. What a leg cuts off counts as cut off,
not as ended; each copy takes some thousands of steps in one, however many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lichen.data import environments
from lichen.engine import rollout
from lichen.engine.decision.apprentice import Fell, Practice
from lichen.engine.modules.backend import array_of, tensor_of
from lichen.engine.training import execution, retry
from lichen.engine.training.execution import Execution
from lichen.engine.training.job import Fault

POINTS = 200
"""Points of a history."""
PULSE_S = 0.1
Anchor = tuple[dict[str, Any], dict[str, Tensor]]
Mark = tuple[Tensor, Tensor]


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
        anchor, mark = _standing(practice)
        while trainee.step < plan.num_rounds:
            leg = trainee.step // practice.leg_rounds
            practice.begin_anew(environments.seed_of("train", execution.mixed(plan.seed, ~leg)))
            try:
                is_done = _leg(practice, round, (leg + 1) * practice.leg_rounds)
            except Fell as fell:
                fault = Fault(trainee.step, fell.loss, practice.rate)
                retry.go_back(trainee, anchor, fault, peak_rate=plan.rate, run=run)
                if practice.memory and mark:
                    practice.memory.go_back(mark)
                continue
            if is_done:
                break
            anchor, mark = _standing(practice)
            _checkpoint(practice)
        trainee.settle()


def _standing(practice: Practice) -> tuple[Anchor, Mark | None]:
    """What a fault goes back to: a copy of the agent, and where its memory stands."""
    return practice.trainee.snapshot(), practice.memory.mark() if practice.memory else None


def _remembered(practice: Practice) -> Mapping[str, Tensor]:
    return practice.memory.tensors() if practice.memory else {}


def _leg(practice: Practice, round: Callable[[Practice], Mapping[str, float]], end: int) -> bool:
    """The rounds of one leg; whether no other is to come."""
    trainee, plan = practice.trainee, practice.plan
    practice.counted.clear()
    while trainee.step < min(end, plan.num_rounds):
        torch.default_generator.manual_seed(execution.mixed(plan.seed, trainee.step))
        figures, rate = round(practice), practice.rate
        counters = trainee.counters
        counters["step"] += 1
        if trainee.average:
            trainee.average.update(counters["step"])
        if plan.is_judged(counters["step"]):
            figures = {**figures, **_judge(practice)}
        _report(practice, figures, rate)
        if _is_over(practice):
            return True
    return False


def _judge(practice: Practice) -> dict[str, float]:
    """Plays greedily, and keeps the weights when they were never better."""
    trainee, plan = practice.trainee, practice.plan
    with trainee.answering():
        value = float(practice.judge(execution.mixed(plan.seed + 1, trainee.step)).mean())
    trainee.module.train()
    best = trainee.counters["best_value"]
    if best is None or value >= best:
        trainee.keep_best(value, trainee.step)
    return {"judged_return": value}


def _is_over(practice: Practice) -> bool:
    """Whether the goal is reached; in a replay, where it once was: elsewhere it may not be reached again."""
    counters, run = practice.trainee.counters, practice.run
    recorded, step = run.recorded("stop"), counters["step"]
    if not (_is_reached(practice) if recorded is None else recorded["round"] <= step):
        return False
    run.decide("stop", lambda: {"round": step, "steps": step * practice.plan.round_steps})
    return True


def _is_reached(practice: Practice) -> bool:
    best, goal = practice.trainee.counters["best_value"], practice.plan.goal
    return goal is not None and best is not None and best >= goal


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
    for name, tensor in _remembered(practice).items():
        tensor.copy_(tensors[f"memory/{name}"])
    for name in practice.trainee.counters["decisions"]:
        practice.run.decide(name, partial(practice.trainee.counters["decisions"].get, name))


def _checkpoint(practice: Practice) -> None:
    if not practice.run.wants_checkpoint():
        return
    arrays = {f"now/{name}": array_of(tensor) for name, tensor in practice.trainee.tensors().items()}
    arrays.update({f"memory/{name}": array_of(tensor) for name, tensor in _remembered(practice).items()})
    practice.run.checkpoint({"now": practice.trainee.counters}, arrays)
