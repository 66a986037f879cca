"""actors: how an agent chooses while it learns: it draws, or it is wrong on purpose now and then.

Shapes: T steps, N copies, B rows, O numbers of an observation, K actions or numbers of an action.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.environment import Environment
from lichen.engine.decision import acting, actions, policy
from lichen.engine.rollout import Act

LOG_ROOT = 0.5 * math.log(2.0 * math.pi)
FADING = 0.97
"""What is left of the widest spread of advantages a rollout later."""


class ActorCritic(nn.Module):
    """The policy, whose outputs are log-odds or means, and the critic, which says what is still to come."""

    spread: Tensor

    def __init__(self, environment: Environment, net: str, options: Mapping[str, object], seed: int) -> None:
        super().__init__()
        self.num_outputs = actions.num_outputs(environment)
        fresh = partial(policy.net, net, options, environment)
        self.policy = policy.orthogonal(fresh(self.num_outputs, seed=seed), head=0.01, seed=seed)
        self.critic = policy.orthogonal(fresh(1, seed=seed + 1), head=1.0, seed=seed + 1)
        self.range = environment.action
        self.is_discrete = environment.num_actions is not None
        if not self.is_discrete:
            self.log_std_K = nn.Parameter(torch.zeros(self.num_outputs))
        self.register_buffer("spread", torch.zeros(()))
        self.outputs, self.values = acting.outputs_of(self.policy), acting.outputs_of(self.critic)

    def greedy(self, seen_NO: np.ndarray) -> np.ndarray:
        """The likeliest action, or the mean."""
        outputs_NK = self.outputs(seen_NO)
        if self.is_discrete:
            return outputs_NK.argmax(1)
        return actions.within(outputs_NK, self.range["low"], self.range["high"])

    def normal(self, advantages_TN: np.ndarray, is_real_TN: np.ndarray) -> np.ndarray:
        """Advantages in the widest spread of late.

        In their own spread those of a rollout where all went well would be as long as any, though they are
        no more than the critic's mistakes: a policy that earns all there is was led away by them.
        """
        real = advantages_TN[is_real_TN]
        if not len(real):  # every copy only began anew
            return np.zeros_like(advantages_TN)
        self.spread.fill_(max(float(real.std()), FADING * float(self.spread)))
        return (advantages_TN - real.mean()) / (float(self.spread) + 1e-8)

    def log_odds(self, outputs_BK: Tensor, done_BX: Tensor) -> Tensor:
        """(B, 1): the log-probability of what was done: a number of an action, or numbers drawn (B, K)."""
        if self.is_discrete:
            return torch.log_softmax(outputs_BK, 1).gather(1, done_BX.long())
        apart_BK = (done_BX - outputs_BK) * torch.exp(-self.log_std_K)
        return -(0.5 * apart_BK.square() + self.log_std_K + LOG_ROOT).sum(1, keepdim=True)

    def indecision(self, outputs_BK: Tensor) -> Tensor:
        """The entropy of each row's actions, (B,) or of all alike ()."""
        if self.is_discrete:
            log_BK = torch.log_softmax(outputs_BK, 1)
            return -(log_BK.exp() * log_BK).sum(1)
        return (self.log_std_K + LOG_ROOT + 0.5).sum()


def drawing(agent: ActorCritic, draws: np.random.Generator, num_steps: int, num_envs: int) -> Act:
    """Draws actions: of log-odds by the Gumbel trick, of means by a normal distribution."""
    shape = (num_steps, num_envs, agent.num_outputs)
    if agent.is_discrete:
        noise_TNK = draws.gumbel(size=shape).astype(np.float32)

        def discrete(seen_NO: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
            done_N = (agent.outputs(seen_NO) + noise_TNK[step]).argmax(1)
            return done_N, done_N

        return discrete
    noise_TNK = draws.standard_normal(shape, np.float32) * np.exp(agent.log_std_K.detach().cpu().numpy())

    def continuous(seen_NO: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        drawn_NK = agent.outputs(seen_NO) + noise_TNK[step]
        return actions.within(drawn_NK, agent.range["low"], agent.range["high"]), drawn_NK

    return continuous


def mostly_greedy(
    outputs: Callable[[np.ndarray], np.ndarray],
    draws: np.random.Generator,
    epsilon: float,
    shape: tuple[int, int, int],
) -> Act:
    """Takes the action of the largest output, but one at random in a share `epsilon` of the steps.

    Args:
        shape: (T, N, K).
    """
    random_TN, is_random_TN = draws.integers(0, shape[2], shape[:2]), draws.random(shape[:2]) < epsilon

    def act(seen_NO: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        done_N = np.where(is_random_TN[step], random_TN[step], outputs(seen_NO).argmax(1))
        return done_N, done_N

    return act


def epsilon_at(share: float, *, last: float, over: float) -> float:
    """How often to act at random when a share of the learning is done: from always to `last` over `over`."""
    return last + (1.0 - last) * max(0.0, 1.0 - share / over) if over else last
