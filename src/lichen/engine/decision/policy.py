"""policy: the nets of an agent, built for an environment, and the Model that is left of one.

Shapes: O numbers of an observation, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lichen.core.environment import Environment
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.engine.decision import actions
from lichen.engine.decision.scales import Scales
from lichen.engine.inputs import observations
from lichen.engine.modules import architecture, backend, heads

TASK = "control"


def net(
    name: str, options: Mapping[str, Any], environment: Environment, num_outputs: int, *, seed: int
) -> nn.Module:
    """A fresh net that sees what the environment shows."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return architecture.build(name, options, tuple(environment.observation["shape"]), num_outputs)


@torch.no_grad()
def orthogonal(module: nn.Module, *, head: float, seed: int) -> nn.Module:
    """Orthogonal weights of gain sqrt(2), in the head of another; biases of zero.

    With a small head every action is as likely at first (Andrychowicz et al. 2021, section 3.2).
    """
    last = next(layer for layer in heads.of(module).modules() if isinstance(layer, nn.Linear))
    draws = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            gain = head if layer is last else 2.0**0.5
            nn.init.orthogonal_(layer.weight, gain, generator=draws)
            if layer.bias is not None:
                layer.bias.zero_()
    return module


def bounded(module: nn.Module, num_outputs: int) -> nn.Module:
    """The net with the tanh of its outputs in it, so that what it says is what it does everywhere."""
    weights = heads.of(module).state_dict()
    with torch.random.fork_rng(devices=[]):
        heads.replace(module, "tanh", num_outputs)
    heads.of(module).load_state_dict(weights)
    return module


def require_discrete(environment: Environment, step: str, hint: str) -> int:
    """How many actions there are.

    Raises:
        UsageError: they are continuous.
    """
    if environment.num_actions is None:
        raise UsageError(f"`{step}` chooses among discrete actions; those of `{environment.address}` are"
                         " continuous", hint=hint)  # fmt: skip
    return environment.num_actions


def model_of(
    module: nn.Module,
    environment: Environment,
    *,
    scales: Scales | None = None,
) -> Model:
    """The Model that acts: a net, what it may do, and how what it saw and earned was measured."""
    assets = actions.assets(environment)
    if environment.observation["dtype"] == "uint8":
        assets.update(mean=[0.0], std=[observations.WHITE])
    if scales:
        assets.update(reward_scale=float(scales.earned.scale))
    if scales and scales.seen:
        mean, std = (part.reshape(-1).tolist() for part in (scales.seen.shift, scales.seen.scale))
        assets.update(mean=mean, std=std)
    return backend.wrap(module.to("cpu").eval(), task=TASK, assets=assets)
