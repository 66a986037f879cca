"""merging: an adapter's tensors and its base's become the tensors of one plain net.

What answers, is exported or pruned is this net: it costs nothing over the base, and needs no library.
Papers: Hu et al. 2021 (LoRA), section 4.1; Kalajdzievski 2023 (rsLoRA): alpha over the root of the rank;
Liu et al. 2024 (DoRA), equation 5; Liu et al. 2022 (IA3), section 3.3.

Shapes: O outputs of a layer, I inputs times kernel, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lichen.core.array import Array
from lichen.core.errors import UsageError
from lichen.engine.modules import backend
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution

METHODS = {
    "lora": ("lora_A", "lora_B"),
    "rslora": ("lora_A", "lora_B"),
    "dora": ("lora_A", "lora_B", "magnitude"),
    "ia3": ("scale",),
}
"""The tensors that each method keeps for a layer."""
PROMPT = "prompt"
"""The method that adds vectors of its own and changes no layer."""
TEMPLATE = "template"
"""An adapter around its base, of which it changes nothing: what a language model is asked."""


def merged(
    base: Mapping[str, Array], weights: Mapping[str, Array], adapter: Mapping[str, Any]
) -> dict[str, Array]:
    """Every tensor of the net; those that no adapter touches are the base's own, not copied.

    Args:
        weights: per adapted layer what its method keeps, as `layer.lora_A`; other names stand in for the
            base's.
        adapter: `method`, `rank`, `alpha` and the names of the `layers`; of a template the method alone.

    Raises:
        UsageError: the adapter's tensors do not fit the base's.
    """
    if adapter.get("method") == TEMPLATE:
        return {**{f"body.{name}": array for name, array in base.items()}, **weights}
    try:
        kinds, names = kinds_of(adapter), list(adapter["layers"])
        own = {layer: {kind: weights[f"{layer}.{kind}"] for kind in kinds} for layer in names}
        kept = {f"{layer}.{kind}" for layer in names for kind in kinds}
        found = {**base, **{name: array for name, array in weights.items() if name not in kept}}
        # One thread: the order of sums, and so every bit, is the same wherever it is done.
        with execution.in_force(Execution(), "cpu"):
            for layer, arrays in own.items():
                tensors = {kind: backend.tensor_of(array).float() for kind, array in arrays.items()}
                found.update(_layer(layer, base, tensors, adapter))
    except (LookupError, RuntimeError, TypeError, ArithmeticError) as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"the adapter does not fit its base: {said}") from error
    return found


def kinds_of(adapter: Mapping[str, Any]) -> tuple[str, ...]:
    """The tensors that an adapter keeps for a layer."""
    return () if adapter["method"] == PROMPT else METHODS[adapter["method"]]


def _layer(
    layer: str, base: Mapping[str, Array], own: Mapping[str, Tensor], adapter: Mapping[str, Any]
) -> dict[str, Array]:
    weight = backend.tensor_of(base[f"{layer}.weight"])
    if adapter["method"] == "ia3":
        found = {f"{layer}.weight": _scaled(weight, own["scale"])}
        if f"{layer}.bias" in base:
            found[f"{layer}.bias"] = _scaled(backend.tensor_of(base[f"{layer}.bias"]), own["scale"])
        return {name: backend.array_of(tensor) for name, tensor in found.items()}
    weight_OI = weight.float().flatten(1)
    moved_OI = weight_OI + scaling(adapter) * (own["lora_B"].flatten(1) @ own["lora_A"].flatten(1))
    if adapter["method"] == "dora":
        norm_O = torch.linalg.vector_norm(moved_OI, dim=1)
        moved_OI = moved_OI * (own["magnitude"].flatten() / norm_O)[:, None]
    return {f"{layer}.weight": backend.array_of(moved_OI.reshape(weight.shape).to(weight.dtype))}


def scaling(adapter: Mapping[str, Any]) -> float:
    """What the product of the two small matrices is multiplied by."""
    root = adapter["rank"] ** 0.5 if adapter["method"] == "rslora" else adapter["rank"]
    return adapter["alpha"] / root


def _scaled(tensor: Tensor, scale_O: Tensor) -> Tensor:
    """Each output of a layer times a number of its own."""
    return (tensor.float() * scale_O.reshape(-1, *[1] * (tensor.ndim - 1))).to(tensor.dtype)
