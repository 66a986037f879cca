"""optimizers: SGD, Adam, AdamW and Muon, each over groups of parameters with rates of their own.

The arithmetic is torch's own fused kernels. Its `torch.optim` classes would import the compiler with them,
which takes longer than training a small net, and cost each step more than the kernels do.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import OptionError, nearest
from lichen.engine.training import muon, treatments
from lichen.engine.training.treatments import BESIDE, RATES

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Kingma and Ba 2015, algorithm 1."""
BETA2_BESIDE = 0.95
"""Of AdamW beside Muon, which trains language models: Brown et al. 2020, appendix B."""


class Optimizer(ABC):
    """Parameter groups, their state and a step; `state` and `param_groups` read as in torch.optim."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.param_groups = groups
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self.update(group, parameters, [parameter.grad for parameter in parameters])

    @abstractmethod
    def update(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Changes a group's parameters in place by their gradients."""

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def held(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """One tensor of state per parameter, zero at first."""
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states):
            if name not in state:
                state[name] = torch.zeros_like(parameter)
        return [state[name] for state in states]


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

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        is_decoupled: bool,
        beta1: float = BETA1,
        beta2: float = BETA2,
    ) -> None:
        super().__init__(groups)
        self.betas = (beta1, beta2)
        self.kernel = torch._fused_adamw_ if is_decoupled else torch._fused_adam_

    def update(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        counts = self._counts(parameters)
        torch._foreach_add_(counts, 1.0)
        self.kernel(
            parameters, gradients, self.held(parameters, "mean"), self.held(parameters, "square"), [], counts,
            lr=group["lr"], beta1=self.betas[0], beta2=self.betas[1], weight_decay=group["weight_decay"],
            eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _counts(self, parameters: list[Tensor]) -> list[Tensor]:
        for parameter in parameters:
            if "count" not in self.state[parameter]:
                self.state[parameter]["count"] = torch.zeros((), device=parameter.device)
        return [self.state[parameter]["count"] for parameter in parameters]


class Muon(Optimizer):
    """Hidden matrices and filters along orthogonal directions, decay apart; all else by another optimizer.

    Paper: Jordan et al. 2024; the decay is Liu et al.'s 2025, section 2.2.

    Args:
        beside: what steps all else.
        fixes_norms: instead of decaying, each hidden matrix starts a step with the norm of an orthogonal one,
            the root of its outputs, so that a step turns it by `rate` whatever came before.
    """

    def __init__(
        self, groups: list[dict[str, Any]], momentum: float, *, beside: Optimizer, fixes_norms: bool = False
    ) -> None:
        super().__init__(groups)
        self.momentum = momentum
        self.beside = beside
        self.beside.state = self.state
        self.fixes_norms = fixes_norms

    def update(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        if not group["is_orthogonal"]:
            self.beside.update(group, parameters, gradients)
            return
        velocities = self.held(parameters, "velocity")
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, gradients)
        ahead = torch._foreach_add(gradients, velocities, alpha=self.momentum)
        if self.fixes_norms:
            norms = torch._foreach_norm(parameters)
            wanted = [math.sqrt(len(parameter)) for parameter in parameters]
            torch._foreach_mul_(parameters, [goal / norm for goal, norm in zip(wanted, norms)])
        else:
            torch._foreach_mul_(parameters, 1.0 - group["lr"] * group["weight_decay"])
        directions = [muon.direction(gradient).to(gradient.dtype) for gradient in ahead]
        torch._foreach_add_(parameters, directions, alpha=-group["lr"])


def build(
    module: nn.Module,
    *,
    name: str,
    rate: float,
    weight_decay: float,
    momentum: float = 0.9,
    layer_decay: float = 1.0,
    parts: Mapping[str, float] | None = None,
    bias_rate: float | None = None,
    head_rate: float | None = None,
    table_rate: float | None = None,
    unit: float | None = None,
    hidden_norm: str = "free",
) -> Optimizer:
    """An optimizer over what requires a gradient.

    Args:
        momentum: of SGD and Muon; Adam keeps its own.
        layer_decay: the rate of each layer is this times that of the layer after it.
        parts: shares of the rate by part of the net.
        bias_rate: of biases, norms and other vectors. head_rate: of the last layer's matrix. table_rate: of
            tables of vectors, such as those of tokens. None: as the others; with Muon, whose rate says
            nothing about them, the usual one of what steps them.
        unit: a batch's share of UNIT_ROWS, where rates and decay are counted per so many rows; see
            `treatments.of`.
        hidden_norm: `fixed`: Muon keeps the norms of hidden matrices instead of decaying them.

    Raises:
        OptionError: no optimizer of that name, or nothing to train; or another than Muon is to fix norms.
    """
    if name not in RATES:
        raise OptionError(f"unknown optimizer `{name}`", hint=nearest(name, RATES))
    if hidden_norm == "fixed" and name not in BESIDE:
        raise OptionError(f"only muon fixes the norms of hidden matrices, not `{name}`")
    treated = treatments.of(
        name, rate=rate, weight_decay=weight_decay, momentum=momentum, bias_rate=bias_rate,
        head_rate=head_rate, table_rate=table_rate, unit=unit,
    )  # fmt: skip
    groups = treatments.groups_of(module, treated, layer_decay=layer_decay, parts=parts)
    if not groups:
        raise OptionError("there must be something to train: every parameter of the net is frozen")
    made = _made(name, groups, momentum, fixes_norms=hidden_norm == "fixed")
    set_rate(made, rate)
    return made


def _made(name: str, groups: list[dict[str, Any]], momentum: float, *, fixes_norms: bool) -> Optimizer:
    if name in BESIDE:
        beside: Optimizer = (
            SGD(groups, momentum) if name == "muon" else Adam(groups, is_decoupled=True, beta2=BETA2_BESIDE)
        )
        return Muon(groups, momentum, beside=beside, fixes_norms=fixes_norms)
    return SGD(groups, momentum) if name == "sgd" else Adam(groups, is_decoupled=name == "adamw")


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
