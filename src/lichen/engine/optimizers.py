"""optimizers: SGD, Adam and AdamW over groups whose decay and rate follow what each tensor is.

The arithmetic is torch's own fused kernels. Its `torch.optim` classes would import the compiler with them,
which takes longer than training a small net, and cost each step more than the kernels do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import OptionError, nearest
from lichen.engine import layers

RATES = {"sgd": 0.05, "adam": 1e-3, "adamw": 1e-3}
"""Peak rates that train the small nets of `nets/` without tuning, in batches of FULL_BATCH rows or more."""
FULL_BATCH = 32
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Kingma and Ba 2015, algorithm 1."""


class Optimizer(ABC):
    """Parameter groups, their state and a step; `state` and `param_groups` read as in torch.optim."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.param_groups = groups
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            pairs = [
                (parameter, parameter.grad) for parameter in group["params"] if parameter.grad is not None
            ]
            if pairs:
                self.update(group, [parameter for parameter, _ in pairs], [gradient for _, gradient in pairs])

    @abstractmethod
    def update(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Changes a group's parameters in place by their gradients."""

    def zero_grad(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def held(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """One tensor of state per parameter, zero at first."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]


class SGD(Optimizer):
    """v <- m v + g; w <- w - rate (g + m v): Nesterov's form (Sutskever et al. 2013); plain where m is 0."""

    def __init__(self, groups: list[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups)
        self.momentum = momentum

    def update(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        torch._fused_sgd_(
            parameters, gradients, self.held(parameters, "velocity") if self.momentum else [], lr=group["lr"],
            weight_decay=group["weight_decay"], momentum=self.momentum, dampening=0.0,
            nesterov=self.momentum > 0,
            maximize=False, is_first_step=False,
        )  # fmt: skip


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), or AdamW with decay apart from the gradient (Loshchilov and Hutter 2019)."""

    def __init__(self, groups: list[dict[str, Any]], *, is_decoupled: bool) -> None:
        super().__init__(groups)
        self.kernel = torch._fused_adamw_ if is_decoupled else torch._fused_adam_

    def update(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        counts = self._counts(parameters)
        torch._foreach_add_(counts, 1.0)
        self.kernel(
            parameters, gradients, self.held(parameters, "mean"), self.held(parameters, "square"), [], counts,
            lr=group["lr"], beta1=BETA1, beta2=BETA2, weight_decay=group["weight_decay"], eps=EPSILON,
            amsgrad=False, maximize=False,
        )  # fmt: skip

    def _counts(self, parameters: list[Tensor]) -> list[Tensor]:
        for parameter in parameters:
            if "count" not in self.state[parameter]:
                self.state[parameter]["count"] = torch.zeros((), device=parameter.device)
        return [self.state[parameter]["count"] for parameter in parameters]


def build(
    module: nn.Module,
    *,
    name: str,
    rate: float,
    weight_decay: float,
    momentum: float = 0.9,
    layer_decay: float = 1.0,
    parts: Mapping[str, float] | None = None,
) -> Optimizer:
    """An optimizer over what requires a gradient.

    Args:
        momentum: of SGD; Adam keeps its own.
        layer_decay: the rate of each layer is this times that of the layer after it.
        parts: shares of the rate by part of the net.

    Raises:
        OptionError: no optimizer of that name, or nothing to train.
    """
    if name not in RATES:
        raise OptionError(f"unknown optimizer `{name}`", hint=nearest(name, RATES))
    groups = groups_of(module, weight_decay=weight_decay, layer_decay=layer_decay, parts=parts)
    if not groups:
        raise OptionError("there must be something to train: every parameter of the net is frozen")
    made = SGD(groups, momentum) if name == "sgd" else Adam(groups, is_decoupled=name == "adamw")
    set_rate(made, rate)
    return made


def usual_rate(name: str, batch_size: int) -> float:
    """The peak rate of an optimizer where none is given; SGD's falls with a batch below FULL_BATCH.

    In proportion, which keeps the way per row alike (Goyal et al. 2017, section 2.1); Adam's steps do not
    grow with the gradient's noise.
    """
    return RATES[name] * (min(1.0, batch_size / FULL_BATCH) if name == "sgd" else 1.0)


def groups_of(
    module: nn.Module,
    *,
    weight_decay: float,
    layer_decay: float = 1.0,
    parts: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups by decay, scale and type: norms, biases and other vectors are not decayed."""
    shares = layers.scales(module, layer_decay, parts)
    groups: dict[tuple[float, float, torch.dtype], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim > 1 else 0.0
            scale = shares[name]
            groups.setdefault((decay, scale, parameter.dtype), []).append(parameter)
    return [
        {"params": params, "weight_decay": decay, "scale": scale}
        for (decay, scale, _), params in groups.items()
    ]


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Gives every group its real rate: `rate` times the group's scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def rates(module: nn.Module, optimizer: Optimizer) -> dict[str, float]:
    """The rate in force per parameter, by name."""
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {
        names[parameter]: group["lr"] for group in optimizer.param_groups for parameter in group["params"]
    }
