"""film: pictures of one episode, evenly spread, taken while a policy acts greedily.

Shapes: H height, W width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.core.environment import Environment
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data import environments
from lichen.engine import answer, quiet
from lichen.engine.decision import actions
from lichen.engine.rollout import LONGEST
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution

SIDE = 160
"""Pixels of a picture's longer side at most."""


@dataclass(frozen=True, slots=True)
class Film:
    """Pictures uint8 (C, H, W), the steps that they were taken after, and what the whole episode returned."""

    pictures: list[np.ndarray]
    steps: list[int]
    earned: float
    length: int


def of(policy: Model | Program, environment: Environment, split: str, num: int) -> Film:
    """The first episode of a split in at most 2 * num pictures, the last of which is its end.

    Raises:
        UsageError: the environment draws no pictures.
    """
    with quiet.muted():  # where there is no screen, what draws says so
        env = environments.drawn(environment)
    outputs, taken = answer.runner(policy), []
    earned, step, apart, is_over = 0.0, 0, 1, False
    try:
        seen, _ = env.reset(seed=environments.seed_of(split, 0))
        taken.append((0, _picture(env)))
        with execution.in_force(Execution(), "cpu"):
            while not is_over and step < LONGEST:
                done = actions.greedy(outputs(environments.as_seen(seen)[None]), policy.assets)[0]
                seen, reward, terminated, truncated, _ = env.step(environments.as_given(env, done))
                earned, step, is_over = earned + float(reward), step + 1, terminated or truncated
                if is_over or step % apart == 0:
                    taken.append((step, _picture(env)))
                if len(taken) > 2 * num:  # of a longer episode every other one is enough
                    taken, apart = taken[::2], 2 * apart
    finally:
        env.close()
    return Film([picture for _, picture in taken], [step for step, _ in taken], earned, step)


def _picture(env: environments.Env) -> np.ndarray:
    """What it draws now, every so many pixels."""
    drawn = env.render()
    if not isinstance(drawn, np.ndarray) or drawn.ndim != 3:
        raise UsageError(f"the environment draws {type(drawn).__name__}, not a picture")
    stride = -(-max(drawn.shape[:2]) // SIDE)
    height, width = (side - side % stride for side in drawn.shape[:2])
    boxes = drawn[:height, :width].reshape(height // stride, stride, width // stride, stride, -1)
    return boxes.mean((1, 3)).round().astype(np.uint8).transpose(2, 0, 1)
