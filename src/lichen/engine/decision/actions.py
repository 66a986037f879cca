"""actions: what a policy's outputs mean to do, by the assets of the model that has it.

Shapes: N observations, K outputs, A numbers of an action.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lichen.core.environment import Environment


def assets(environment: Environment) -> dict[str, Any]:
    """What acting needs to know beside weights: what is seen, and the actions by name or by their range."""
    seen = {"observation_shape": list(environment.observation["shape"])}
    if environment.num_actions is not None:
        return {**seen, "labels": [str(action) for action in range(environment.num_actions)]}
    return {**seen, "action_low": environment.action["low"], "action_high": environment.action["high"]}


def num_outputs(environment: Environment) -> int:
    """One per discrete action, or per number of a continuous one."""
    return environment.num_actions or len(environment.action["low"])


def greedy(outputs_NK: np.ndarray, assets: Mapping[str, Any]) -> np.ndarray:
    """int64 (N,): the action with the largest output; or float32 (N, A): the one that the outputs say."""
    if "action_low" not in assets:
        return outputs_NK.argmax(1)
    return within(outputs_NK, assets["action_low"], assets["action_high"])


def within(shares_NA: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """float32 (N, A): -1 is the low bound of an action, 1 the high one; beyond them it is cut off."""
    low_A, high_A = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return low_A + (np.clip(shares_NA, -1.0, 1.0) + 1.0) * 0.5 * (high_A - low_A)


def shares(actions_NA: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """float32 (N, A): the inverse of `within`."""
    low_A, high_A = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return 2.0 * (actions_NA - low_A) / (high_A - low_A) - 1.0
