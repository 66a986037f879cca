"""record: let a policy act, and keep what it saw and did as a dataset."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lichen.core.dataset import SPLITS, Dataset
from lichen.core.environment import Environment
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Seed
from lichen.core.step import step
from lichen.data import environments, observations
from lichen.engine import answer, rollout
from lichen.engine.decision import actions, episodes
from lichen.engine.rollout import Act, Stage
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Of the steps; each split is played on seeds of its own."""


@step(splits=(), without=None)
def record(
    model: Model | Program,
    environment: Environment,
    *,
    num_steps: Count = 10_000,
    num_envs: Count = 8,
    explore: Fraction = 0.0,
    duplicates: Literal["drop", "keep"] = "drop",
    seed: Seed = 0,
    run: Run,
) -> Dataset:
    """Keeps (what was seen, what the policy does there): to distil, prune, calibrate, export or clone from.

    Args:
        num_steps: of the environment, all splits and copies together.
        num_envs: copies that are acted in at once.
        explore: share of steps that are taken at random, so that more is seen; the policy's choice is kept.
        duplicates: rows that stand in two splits are dropped from the one that is judged, or kept: of a world
            with few states none would be left.
    """
    episodes.require_fit(model, environment)
    seen, done = {}, {}
    with execution.in_force(Execution(), run.device):
        for place, split in enumerate(SPLITS):
            seed_of_split = execution.mixed(seed, place)
            stage = Stage(environment, num_envs)
            stage.reset(environments.seed_of("train", seed_of_split))
            act = chooser(model, environment, explore, rollout.generator(seed_of_split), run.device)
            played = stage.rollout(act, max(1, round(SHARES[split] * num_steps / num_envs)))
            stage.close()
            rows = played.real()
            seen[split], done[split] = (rollout.flat(part)[rows] for part in (played.seen, played.actions))
    assets = actions.assets(environment)
    return observations.dataset(
        seen, done, labels=assets.get("labels"), low=assets.get("action_low", ()),
        high=assets.get("action_high", ()), keeps_duplicates=duplicates == "keep",
    )  # fmt: skip


def chooser(
    model: Model | Program, environment: Environment, explore: float, draws: np.random.Generator, device: str
) -> Act:
    """Acts greedily but for some steps; keeps what the policy would do."""
    answers, about = answer.runner(model, device=device), environment.action

    def act(seen: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = actions.greedy(answers(seen), model.assets)
        if environment.num_actions is not None:
            other, kept = draws.integers(0, environment.num_actions, len(seen)), chosen
        else:
            other = actions.within(draws.uniform(-1, 1, chosen.shape), about["low"], about["high"])
            kept = actions.shares(chosen, about["low"], about["high"])
        is_random = draws.random(len(seen)) < explore
        taken = np.where(is_random if chosen.ndim == 1 else is_random[:, None], other, chosen)
        return taken.astype(chosen.dtype), kept

    return act
