"""trainee: everything that training changes, in one place, to be saved and put back bit by bit.

What is frozen when training begins is no part of it, unless something else moves it: the state of an adapter
is small, whatever its base.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lichen.engine.training.ema import Average, moving
from lichen.engine.training.lookahead import Lookahead
from lichen.engine.training.optimizers import Optimizer


class Trainee:
    """A net under training: module, optimizer, averages of weights, best weights so far, and counters.

    Args:
        holds_frozen: frozen weights are part of the state, as those of a copy that follows the net.
    """

    def __init__(
        self, module: nn.Module, optimizer: Optimizer, average: Average | None, lookahead: Lookahead | None,
        *, holds_frozen: bool = False,
    ) -> None:  # fmt: skip
        self.module = module
        self._moving = tuple(module.state_dict() if holds_frozen else moving(module))
        self.optimizer = optimizer
        self.average = average
        self.lookahead = lookahead
        self.best: dict[str, Tensor] = {}
        self.counters: dict[str, Any] = {
            "step": 0, "rate_scale": 1.0, "retries": 0, "loss_sum": 0.0, "num_rows": 0,
            "history": [], "best_value": None, "best_epoch": None, "decisions": {},
        }  # fmt: skip

    @property
    def step(self) -> int:
        return self.counters["step"]

    def moving(self) -> dict[str, Tensor]:
        """The tensors of the net that training changes, not copied."""
        own = self.module.state_dict()
        return {name: own[name] for name in self._moving}

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state, by name, not copied."""
        found = {f"net.{name}": tensor for name, tensor in self.moving().items()}
        for index, parameter in enumerate(self.optimizer.parameters()):
            for key, tensor in self.optimizer.state.get(parameter, {}).items():
                found[f"optimizer.{index}.{key}"] = tensor
        if self.average:
            found.update({f"average.{name}": tensor for name, tensor in self.average.tensors.items()})
        if self.lookahead:
            found.update({f"slow.{name}": tensor for name, tensor in self.lookahead.tensors.items()})
        found.update({f"best.{name}": tensor for name, tensor in self.best.items()})
        return found

    def snapshot(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """A copy of the whole state."""
        return copy.deepcopy(self.counters), {
            name: tensor.detach().clone() for name, tensor in self.tensors().items()
        }

    @torch.no_grad()
    def restore(self, counters: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Puts a snapshot back, in the memory layout that the net has now."""
        self.counters = copy.deepcopy(dict(counters))
        for name, tensor in self.moving().items():
            tensor.copy_(tensors[f"net.{name}"])
        self.optimizer.state.clear()
        for index, parameter in enumerate(self.optimizer.parameters()):
            held = _below(tensors, f"optimizer.{index}.")
            if held:
                self.optimizer.state[parameter] = {
                    key: _like(parameter, tensor) for key, tensor in held.items()
                }
        if self.average:
            for name, tensor in self.average.tensors.items():
                tensor.copy_(tensors[f"average.{name}"])
        if self.lookahead:
            for name, tensor in self.lookahead.tensors.items():
                tensor.copy_(tensors[f"slow.{name}"])
        self.best = {name: tensor.clone() for name, tensor in _below(tensors, "best.").items()}

    def answers(self) -> Mapping[str, Tensor]:
        """The weights that would answer now, beside frozen ones: the average where there is one."""
        return {**self.moving(), **(self.average.tensors if self.average else {})}

    @contextmanager
    def answering(self) -> Iterator[nn.Module]:
        """The module in eval mode holding the weights that would answer now."""
        if self.average is None:
            yield self.module.eval()
            return
        held = {name: tensor.detach().clone() for name, tensor in self.moving().items()}
        self.module.load_state_dict(self.average.tensors, strict=False)
        yield self.module.eval()
        self.module.load_state_dict(held, strict=False)

    def keep_best(self, value: float, epoch: int) -> None:
        self.counters.update(best_value=value, best_epoch=epoch)
        self.best = {name: tensor.detach().clone() for name, tensor in self.answers().items()}

    @torch.no_grad()
    def settle(self) -> None:
        """Leaves in the module the resulting weights: the best where kept, else those that answer."""
        final = self.best or dict(self.answers())
        for name, tensor in self.moving().items():
            tensor.copy_(final[name])


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """The tensor in the parameter's strides, as fused kernels walk both together; counters stay."""
    if tensor.shape != parameter.shape:
        return tensor.clone()
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
