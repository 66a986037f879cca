"""trimming: layers, groups of heads and columns of MLPs out of a gpt, so that less is left to be computed.

What goes is what a net misses least on some rows. A layer is missed by how far it turns what it reads (the
influence of a block), or by the loss without it; a head by the loss's first-order change without it, with
all that share its keys and values; so is a column of an MLP. Every layer keeps equally many, so that the net
stays one that its options build.
Papers: Men et al. 2024 (block influence); Michel et al. 2019 (heads); Molchanov et al. 2019 (first order);
Ainslie et al. 2023 (groups). Departs from Michel et al.: absolute values are taken token by token, of which
few rows have many.

Shapes: B rows, T tokens, D width, G groups of heads, J columns of an MLP, or numbers that a layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.data.tokenizer import PAD
from lichen.engine.modules import architecture
from lichen.engine.training import telling
from lichen.nets.gpt import Gpt

Batch = tuple[Tensor, Tensor]
"""Tokens (B, T) that are read, and those that places tell; PAD: nothing."""
Importance = tuple[list[Tensor], list[Tensor]]
"""Per layer of its groups (G,), and of the columns of its MLP (J,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a gpt has of everything that may go."""

    layers: int
    groups: int
    hidden: int

    @classmethod
    def of(cls, net: Gpt) -> Sizes:
        block: Any = net.blocks[0]
        groups = block.attention.key.out_features // net.head_width
        return cls(layers=len(net.blocks), groups=groups, hidden=block.mlp.up.out_features)

    def without(self, *, layers: float, heads: float, hidden: float, round_to: int) -> Sizes:
        """What is left when these shares go: one of each at least, and columns in multiples."""
        columns = max(1, round(self.hidden * (1 - hidden) / round_to)) * round_to
        return Sizes(
            layers=max(1, round(self.layers * (1 - layers))), groups=max(1, round(self.groups * (1 - heads))),
            hidden=min(self.hidden, columns) if hidden else self.hidden,
        )  # fmt: skip


def require(net: nn.Module) -> Gpt:
    """The net, where it is one that can be trimmed.

    Raises:
        UsageError: it is no gpt that tells tokens.
    """
    if not isinstance(net, Gpt) or net.reads_whole:
        raise UsageError(f"layers and heads are taken out of a gpt that tells tokens, not of a"
                         f" {type(net).__name__}", hint="compress.prune is for nets of pictures")  # fmt: skip
    return net


def influence(net: Gpt, batches: Sequence[Batch]) -> list[float]:
    """Per layer 1 - cos(what it reads, what it gives), the mean over tokens."""
    total, count = [0.0] * len(net.blocks), 0
    with torch.inference_mode():
        for x_BT, told_BT in batches:
            is_told_BT = told_BT != PAD
            with _heard(net.blocks) as found:
                net.features(x_BT)
            for layer, (before_BTD, after_BTD) in enumerate(found):
                alike_BT = functional.cosine_similarity(before_BTD, after_BTD, dim=-1)
                total[layer] += float((1.0 - alike_BT)[is_told_BT].sum())
            count += int(is_told_BT.sum())
    return [one / max(1, count) for one in total]


@contextmanager
def _heard(layers: Any) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """What each layer reads and gives while it lasts, in their order."""
    found: list[tuple[Tensor, Tensor]] = []
    hooks = [layer.register_forward_hook(lambda _, inputs, output: found.append((inputs[0], output)))
             for layer in layers]  # fmt: skip
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def loss(net: nn.Module, batches: Sequence[Batch]) -> float:
    """The mean loss of the tokens that are told."""
    with torch.inference_mode():
        found = torch.cat([telling.losses(net, *batch) for batch in batches])
    return float(found.double().mean())


def least_missed(net: Gpt, batches: Sequence[Batch], count: int, by: str) -> list[int]:
    """The layers that go, in their order.

    Args:
        by: `influence`, or `loss`: one after the other, each time the one without which the loss is least.
    """
    if by == "influence":
        found = influence(net, batches)
        return sorted(sorted(range(len(found)), key=lambda layer: found[layer])[:count])
    gone: list[int] = []
    for _ in range(count):
        left = [layer for layer in range(len(net.blocks)) if layer not in gone]
        without = {layer: loss(shorter(net, [*gone, layer]), batches) for layer in left}
        gone.append(min(left, key=lambda layer: without[layer]))
    return sorted(gone)


def importance(net: Gpt, batches: Sequence[Batch]) -> Importance:
    """First-order change of the loss without each group of heads and each column, summed over tokens."""
    groups = Sizes.of(net).groups
    blocks: list[Any] = list(net.blocks)
    ends = [layer for block in blocks for layer in (block.attention.out, block.mlp.down)]
    totals = [torch.zeros(groups if place % 2 == 0 else layer.in_features)
              for place, layer in enumerate(ends)]  # fmt: skip
    for x_BT, told_BT in batches:
        with _heard(ends) as found:
            total_loss = telling.losses(net, x_BT, told_BT).sum()
        read = [before for before, _ in found]
        for place, (x, slope) in enumerate(zip(read, torch.autograd.grad(total_loss, read), strict=True)):
            change_BTJ = (x * slope).detach()
            if place % 2 == 0:
                change_BTJ = change_BTJ.unflatten(-1, (groups, -1)).sum(-1)
            totals[place] += change_BTJ.abs().sum((0, 1)).cpu()
    return totals[::2], totals[1::2]


def kept(importance_J: Tensor, count: int) -> list[int]:
    """The places of so many that matter most, in their order; of equal ones the first."""
    return sorted(torch.argsort(importance_J, descending=True, stable=True)[:count].tolist())


def shorter(net: Gpt, gone: Sequence[int]) -> Gpt:
    """A copy without these layers."""
    left = [layer for layer in range(len(net.blocks)) if layer not in gone]
    return _filled(net, replace(Sizes.of(net), layers=len(left)), left, lambda part, tensor, layer: tensor)


def narrower(net: Gpt, found: Importance, sizes: Sizes) -> Gpt:
    """A copy whose layers keep so many groups of heads and columns of their MLPs."""
    now = Sizes.of(net)
    groups, columns = ([kept(one, count) for one in part]
                       for part, count in zip(found, (sizes.groups, sizes.hidden), strict=True))  # fmt: skip

    def cut(part: str, tensor: Tensor, layer: int) -> Tensor:
        if part in ("query", "key", "value"):
            return tensor.unflatten(0, (now.groups, -1))[groups[layer]].flatten(0, 1)
        if part == "out":
            return tensor.unflatten(1, (now.groups, -1))[:, groups[layer]].flatten(1, 2)
        if part in ("gate", "up"):
            return tensor[columns[layer]]
        return tensor[:, columns[layer]] if part == "down" else tensor

    return _filled(net, replace(sizes, layers=now.layers), list(range(now.layers)), cut)


def _filled(net: Gpt, sizes: Sizes, layers: Sequence[int], cut: Callable[[str, Tensor, int], Tensor]) -> Gpt:
    """The net in other sizes, and in each of its layers what is left of one that was.

    Args:
        cut: of a layer's part, such as `query`, its tensor and the number that the layer had.
    """
    address, made = getattr(net, architecture.ORIGIN)
    own = {name: given for name, given in made.items() if name not in ("in_shape", "num_outputs")}
    with torch.random.fork_rng(devices=[]):
        slim = architecture.build(
            address, {**own, **_options(net, sizes)}, tuple(made["in_shape"]), made["num_outputs"]
        )
    assert isinstance(slim, Gpt)
    state = net.state_dict()
    for name, tensor in slim.state_dict().items():
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            layer = layers[int(number)]
            tensor.copy_(cut(name.split(".")[-2], state[f"blocks.{layer}.{rest}"], layer))
        else:
            tensor.copy_(state[name])
    return slim.eval()


def _options(net: Gpt, sizes: Sizes) -> dict[str, Any]:
    """All sizes, also those that would follow from others where nobody says."""
    block: Any = net.blocks[0]
    each = block.attention.query.out_features // block.attention.key.out_features
    return {
        "depth": sizes.layers, "width": len(net.norm.weight), "num_heads": each * sizes.groups,
        "num_kv_heads": sizes.groups, "head_width": net.head_width, "hidden": sizes.hidden,
    }  # fmt: skip
