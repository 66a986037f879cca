"""treatments: how each kind of parameter learns: its rate over the net's, its decay, in which direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lichen.engine.modules import layers

RATES = {"sgd": 0.05, "adam": 1e-3, "adamw": 1e-3, "muon": 0.02, "muon_adamw": 0.03}
"""Peak rates that train the small nets of `nets/` without tuning, in batches of FULL_BATCH rows or more."""
FULL_BATCH = 32
UNIT_ROWS = 1024
"""Jordan 2024 counts rate and decay per so many rows."""
BESIDE = {
    "muon": {"head": RATES["sgd"], "table": RATES["sgd"], "vector": RATES["sgd"]},
    "muon_adamw": {"head": 0.02, "table": 0.1, "vector": 0.01},
}
"""Rates of what SGD, or AdamW, steps beside Muon; tokens come seldom, so their table's is high."""
WRAPPED = "net."
"""What names begin with in a net that learns within another, as a student does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How one kind of parameter learns: its rate over the net's, its decay, and in which direction."""

    scale: float = 1.0
    decay: float = 0.0
    is_orthogonal: bool = False


def of(
    name: str,
    *,
    rate: float,
    weight_decay: float,
    momentum: float,
    bias_rate: float | None = None,
    head_rate: float | None = None,
    table_rate: float | None = None,
    unit: float | None = None,
) -> dict[str, Treatment]:
    """What an optimizer does to `hidden` matrices, to the `head`'s, to each `table` and to each `vector`.

    With a unit, rates and decay are counted per UNIT_ROWS rows: a gradient moves the weights by `rate` times
    the unit in all, however momentum spreads that over steps, and a step shrinks matrices by `weight_decay`
    times the unit whatever the rate. So batch size, momentum, rate and decay are tuned one by one (Jordan
    2024, appendix). Muon's direction has one length whatever the momentum.
    """
    usual = BESIDE.get(name, {"head": rate, "table": rate, "vector": rate})
    told = {"head": head_rate, "table": table_rate, "vector": bias_rate}
    rates = {"hidden": rate, **{kind: usual[kind] if own is None else own for kind, own in told.items()}}
    found = {}
    for kind, own in rates.items():
        is_orthogonal = name in BESIDE and kind == "hidden"
        decay = 0.0 if kind == "vector" or (name in BESIDE and not is_orthogonal) else weight_decay
        scale = own / rate if rate else 0.0
        if unit is not None:
            is_summed = name == "sgd" or (name == "muon" and not is_orthogonal)
            scale, decay = scale * unit * (1.0 - momentum if is_summed else 1.0), decay / own if own else 0.0
        found[kind] = Treatment(scale=scale, decay=decay, is_orthogonal=is_orthogonal)
    return found


def usual_rate(name: str, batch_size: int, *, momentum: float = 0.0, unit: float | None = None) -> float:
    """The peak rate of an optimizer where none is given; SGD's falls with a batch below FULL_BATCH.

    In proportion, which keeps the way per row alike (Goyal et al. 2017, section 2.1); Adam's steps do not
    grow with the gradient's noise, nor do Muon's.
    """
    rate = RATES[name] * (min(1.0, batch_size / FULL_BATCH) if name == "sgd" else 1.0)
    if unit is None:
        return rate
    return rate / unit / (1.0 - momentum if name == "sgd" else 1.0)


def groups_of(
    module: nn.Module,
    treated: Mapping[str, Treatment],
    *,
    layer_decay: float = 1.0,
    parts: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups by treatment, layer and type; norms, biases and other vectors are `vector`s, a head
    that is tied to the tokens is their `table`."""
    shares = layers.scales(module, layer_decay, parts)
    groups: dict[tuple[Treatment, torch.dtype], list[nn.Parameter]] = {}
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            own = treated["table" if id(parameter) in tables else _kind(name, parameter)]
            key = replace(own, scale=own.scale * shares[name]), parameter.dtype
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": params, "weight_decay": own.decay, "scale": own.scale, "is_orthogonal": own.is_orthogonal}
        for (own, _), params in groups.items()
    ]


def _kind(name: str, parameter: Tensor) -> str:
    if parameter.ndim < 2:
        return "vector"
    return "head" if name.removeprefix(WRAPPED).startswith("head.") else "hidden"
