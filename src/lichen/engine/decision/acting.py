"""acting: a net's outputs for a few observations, many times over.

In a net of a few thousand weights most of torch's time goes into finding out what to do. Layers that numpy
knows too are computed by it, on the very memory that training changes.

Shapes: N observations, O numbers of one, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from lichen.engine.inputs import observations
from lichen.engine.modules import heads
from lichen.nets.mlp import MLP

Act = Callable[[np.ndarray], np.ndarray]
NUM_SMALL = 100_000
"""Weights up to which numpy is quicker."""
AT_ONCE = 1024
"""Rows that torch is asked about at once: what a net makes of a picture on its way is larger than it."""


def outputs_of(module: nn.Module) -> Act:
    """(N, O) -> float32 (N, K), always by the weights that the module has at the time.

    Where these live is looked up when it is first asked: until then a module may move.
    """
    found: list[Act] = []

    def act(x_NO: np.ndarray) -> np.ndarray:
        if not found:
            found.append(_by_layers(module) or _by_torch(module))
        return found[0](x_NO)

    return act


def _by_layers(module: nn.Module) -> Act | None:
    """By numpy; None where torch is quicker."""
    layers = _layers(module)
    is_small = sum(parameter.numel() for parameter in module.parameters()) <= NUM_SMALL
    if layers is None or not is_small or next(module.parameters()).device.type != "cpu":
        return None

    def act(x_NO: np.ndarray) -> np.ndarray:
        x_NO = x_NO if x_NO.dtype == np.float32 else observations.floats(torch.from_numpy(x_NO)).numpy()
        for layer in layers:
            x_NO = layer(x_NO)
        return x_NO

    return act


def _by_torch(module: nn.Module) -> Act:
    device = next(module.parameters()).device

    def act(x_NO: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            parts = [module(observations.floats(part_BO.to(device))).cpu()
                     for part_BO in torch.from_numpy(x_NO).split(AT_ONCE)]  # fmt: skip
            return (parts[0] if len(parts) == 1 else torch.cat(parts)).numpy()

    return act


def _layers(module: nn.Module) -> list[Act] | None:
    """The layers of a net of `nets/mlp`, in numpy; None where it has others."""
    parts = [*module.body, module.head] if type(module) is MLP else []  # type: ignore[misc]
    found = [_layer(part) for part in parts]
    return None if not found or None in found else found  # type: ignore[return-value]


def _layer(part: nn.Module) -> Act | None:
    if type(part) in (nn.Linear, heads.Bounded):
        weight_IF, bias_F = part.weight.detach().numpy().T, part.bias.detach().numpy()  # type: ignore[union-attr,operator]
        if type(part) is nn.Linear:
            return lambda x: x @ weight_IF + bias_F
        return lambda x: np.tanh(x @ weight_IF + bias_F)
    if type(part) is nn.LayerNorm:
        gain_F, shift_F, epsilon = part.weight.detach().numpy(), part.bias.detach().numpy(), part.eps
        return lambda x: _normed(x, gain_F, shift_F, epsilon)
    if type(part) is heads.Dueling:
        return _dueling(_layer(part.value), _layer(part.advantage))
    return PLAIN.get(type(part))


def _dueling(value: Act | None, advantage: Act | None) -> Act:
    assert value is not None and advantage is not None

    def act(x_NF: np.ndarray) -> np.ndarray:
        advantage_NK = advantage(x_NF)
        return value(x_NF) + advantage_NK - advantage_NK.mean(1, keepdims=True)

    return act


def _normed(x_NF: np.ndarray, gain_F: np.ndarray, shift_F: np.ndarray, epsilon: float) -> np.ndarray:
    apart_NF = x_NF - x_NF.mean(1, keepdims=True)
    spread_N1 = np.sqrt(np.einsum("nf,nf->n", apart_NF, apart_NF) / x_NF.shape[1] + epsilon)[:, None]
    return apart_NF / spread_N1 * gain_F + shift_F


PLAIN: dict[type, Act] = {
    nn.Flatten: lambda x: x.reshape(len(x), -1),
    nn.ReLU: lambda x: np.maximum(x, 0.0, dtype=np.float32),
    nn.Tanh: np.tanh,
}
