"""episodes: what a policy earns when it acts greedily, over whole episodes on seeds of their own.

Shapes: N copies, E episodes, K outputs.
"""

from __future__ import annotations

import numpy as np

from lichen.core.array import Array
from lichen.core.environment import Environment
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.scores import Scores
from lichen.data import environments
from lichen.engine import answer
from lichen.engine.decision import actions
from lichen.engine.rollout import first_episodes
from lichen.engine.scores import metrics
from lichen.engine.training.execution import Execution, in_force

MOST_COPIES = 100
NUM_RESAMPLES = 2000


def score(
    policy: Model | Program, environment: Environment, split: str, episodes: int, *, device: str = "cpu"
) -> Scores:
    """The return, as the interquartile mean over episodes (Agarwal et al. 2021) and as the plain mean.

    Intervals come of resampling episodes.

    Raises:
        UsageError: the policy was made for other observations or actions.
    """
    require_fit(policy, environment)
    returns_E, lengths_E = play(policy, environment, split, episodes, device=device)
    return Scores.build(
        subject=policy.digest, data=environment.digest, split=split, num_rows=episodes, headline="return",
        metrics={
            "return": _interval(returns_E, interquartile), "mean_return": _interval(returns_E, mean),
            "episode_length": _interval(lengths_E, mean),
        },
        answers={"outcome": Array.of(returns_E.astype(np.float32)), "length": Array.of(lengths_E)},
    )  # fmt: skip


def require_fit(policy: Model | Program, environment: Environment) -> None:
    """Refuses a policy of another environment.

    Raises:
        UsageError: it sees other shapes, or has other actions.
    """
    wanted = actions.assets(environment)
    for name in ("observation_shape", "labels", "action_low", "action_high"):
        found = policy.assets.get(name)
        if (list(found) if found is not None else None) != wanted.get(name):
            raise UsageError(
                f"the policy does not fit `{environment.address}`: its {name.replace('_', ' ')} is {found},"
                f" the environment's {wanted.get(name)}", hint="a policy acts where it learnt",
            )  # fmt: skip


def play(
    policy: Model | Program, environment: Environment, split: str, episodes: int, *, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float64 (E,) and lengths int32 (E,): the first episode of every copy, again until enough."""
    copies = environments.copies(environment, min(episodes, MOST_COPIES))
    returns, lengths = [], []
    outputs = answer.runner(policy, device=device)

    def greedy(seen: np.ndarray) -> np.ndarray:
        return actions.greedy(outputs(seen), policy.assets)

    try:
        with in_force(Execution(), device):
            for round in range(-(-episodes // copies.num)):
                copies.reset(environments.seed_of(split, round * copies.num))
                earned_N, lasted_N = first_episodes(copies, greedy)
                returns.append(earned_N)
                lengths.append(lasted_N)
    finally:
        copies.close()
    return np.concatenate(returns)[:episodes], np.concatenate(lengths)[:episodes]


def mean(values_RE: np.ndarray) -> np.ndarray:
    """(R,) of resampled episodes (R, E)."""
    return values_RE.mean(1)


def interquartile(values_RE: np.ndarray) -> np.ndarray:
    """(R,): the mean of what is left when the lowest and the highest fourth are put away."""
    count = values_RE.shape[1]
    cut = count // 4
    return np.sort(values_RE, 1)[:, cut : count - cut].mean(1)


def _interval(values_E: np.ndarray, measure) -> metrics.Figure:
    draws = np.random.Generator(np.random.Philox(0))
    rows_RE = draws.integers(0, len(values_E), (NUM_RESAMPLES, len(values_E)))
    return metrics.bootstrapped(float(measure(values_E[None])[0]), measure(values_E[rows_RE]))
