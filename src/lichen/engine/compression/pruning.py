"""pruning: whole channels out of a net, together with everything that depends on them.

What depends on what is read off a trace (torch-pruning's dependency graph). Channels of all layers are ranked
together; the share that goes is the smallest one that reaches the target in multiply-accumulates.
Channels of a residual stream stay where the others are enough: narrowing the stream of ResNet-56 cost
far more accuracy than it saved work.
Paper: Fang et al. 2023 (dependency graph); Molchanov et al. 2019 (first-order Taylor importance).
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import UsageError, missing_package
from lichen.engine.modules import heads, macs

KEPT_AT_LEAST = 0.1
"""Of a layer's channels: a layer without any would cut the net in two."""
HALVINGS = 10
"""Of the share of channels that go: found to 1/1024,"""
NEAR = 0.99
"""or until the work left is this near to what may be left."""


@dataclass(frozen=True, slots=True)
class Group:
    """Channels of one layer that can go, each with all that depends on it."""

    layer: str
    importance_C: Tensor
    num_writers: int = 1
    """Layers whose outputs these channels are: several where they are added, as in a residual stream."""
    writers: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    """Convolutions and linear layers that lose outputs, and those that lose inputs, with the channels."""

    def num_kept(self, num_above: int, round_to: int) -> int:
        """How many of the channels stay where `num_above` deserve to."""
        width = len(self.importance_C)
        wanted = max(num_above, math.ceil(KEPT_AT_LEAST * width), 1)
        return min(width, -(-wanted // round_to) * round_to)


def prune(
    module: nn.Module,
    image_shape: Sequence[int],
    *,
    speedup: float,
    importance: str,
    round_to: int = 1,
    gradients: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """A narrower copy of a net with its multiply-accumulates cut by `speedup`; the outputs stay.

    Args:
        importance: `taylor` or `group_norm`.
        round_to: widths become multiples of this.
        gradients: accumulates the loss's gradient in the parameters; `taylor` needs it.

    Raises:
        UsageError: no share of channels reaches the target.
    """
    whole = macs.count(module, image_shape)
    groups = rank(module, image_shape, importance, gradients)
    # A channel that many layers write to is worth more than its share of the work: it goes only if it must.
    own = [group for group in groups if group.num_writers == 1]
    for some in (own, groups) if own else (groups,):
        slim, left = _narrowed(module, image_shape, chosen(some, 1.0, round_to))
        if left * speedup <= whole:
            return _just(module, image_shape, some, round_to, whole / speedup, slim)
    raise UsageError(
        f"this net can be pruned {whole / left:.2f} times at most; speedup is {speedup:g}",
        hint="a smaller round_to" if round_to > 1 else None,
    )


def _narrowed(
    module: nn.Module, image_shape: Sequence[int], gone: Mapping[str, Sequence[int]]
) -> tuple[nn.Module, int]:
    """The net without some channels, and its multiply-accumulates."""
    slim = without(module, image_shape, gone)
    return slim, macs.count(slim, image_shape)


def _just(
    module: nn.Module, image_shape: Sequence[int], groups: Sequence[Group], round_to: int, target: float,
    best: nn.Module,
) -> nn.Module:  # fmt: skip
    """The net without about the smallest share of channels that reaches the target."""
    low, high = 0.0, 1.0
    at_high = chosen(groups, high, round_to)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        gone = chosen(groups, middle, round_to)
        if gone == at_high:  # with whole multiples of channels many shares mean one net
            high = middle
            continue
        slim, left = _narrowed(module, image_shape, gone)
        if left > target:
            low = middle
            continue
        high, best, at_high = middle, slim, gone
        if left >= NEAR * target:
            break
    return best


def rank(
    module: nn.Module,
    image_shape: Sequence[int],
    importance: str,
    gradients: Callable[[nn.Module], None] | None = None,
) -> list[Group]:
    """Every group of channels that may go, with the importance of each channel."""
    twin = _twin(module)
    if gradients is not None:
        gradients(twin)
    graph = _graph(twin, image_shape)
    names = {layer: name for name, layer in twin.named_modules()}
    ranking, found = _ranking(importance), []
    ends = [heads.answering_layer(twin, image_shape)]
    for group in graph.get_all_groups(ignored_layers=ends, root_module_types=[nn.Conv2d, nn.Linear]):
        score_C = ranking(group)
        if score_C is not None and not any(_is_grouped(dep.target.module) for dep, _ in group):
            layer = names[group[0].dep.target.module]
            writers, readers = _touched(graph, group, names)
            found.append(Group(layer, score_C.detach().cpu(), _num_writers(graph, group), writers, readers))
    if not found:
        raise UsageError("this net has no channels that can be pruned")
    return found


def chosen(groups: Sequence[Group], share: float, round_to: int) -> dict[str, list[int]]:
    """The channels to remove per layer: the least important share of all."""
    scores = torch.cat([group.importance_C for group in groups])
    order = torch.argsort(scores, stable=True)[: round(share * len(scores))]
    is_weak = torch.zeros(len(scores), dtype=torch.bool)
    is_weak[order] = True
    gone = {}
    for group, weak_C in zip(groups, is_weak.split([len(one.importance_C) for one in groups]), strict=True):
        num_gone = len(weak_C) - group.num_kept(int((~weak_C).sum()), round_to)
        gone[group.layer] = sorted(torch.argsort(group.importance_C, stable=True)[:num_gone].tolist())
    return {layer: channels for layer, channels in gone.items() if channels}


def without(module: nn.Module, image_shape: Sequence[int], gone: Mapping[str, Sequence[int]]) -> nn.Module:
    """A copy without these output channels of these layers, and what depends on them."""
    slim = _twin(module)
    graph = _graph(slim, image_shape)
    layers = dict(slim.named_modules())
    for name, channels in gone.items():
        layer = layers[name]
        prune_outputs = graph.get_pruner_of_module(layer).prune_out_channels
        graph.get_pruning_group(layer, prune_outputs, list(channels)).prune()
    learns = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    for name, parameter in slim.named_parameters():
        parameter.requires_grad_(learns[name])
    return slim


def _twin(module: nn.Module) -> nn.Module:
    """A copy in eval mode that a trace can follow, without gradients so far."""
    twin = copy.deepcopy(module).eval().requires_grad_(True)
    twin.zero_grad(set_to_none=True)
    return twin


def _graph(module: nn.Module, image_shape: Sequence[int]) -> Any:
    try:
        import torch_pruning
    except ImportError:
        raise missing_package("torch-pruning", "vision") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch_pruning.DependencyGraph().build_dependency(
            module, torch.zeros(1, *image_shape), customized_pruners=_own_layers(module)
        )


def _ranking(importance: str) -> Any:
    from torch_pruning.pruner import importance as rankings

    if importance == "taylor":
        return rankings.GroupTaylorImportance(group_reduction="mean", normalizer="mean")
    return rankings.GroupMagnitudeImportance(p=2, group_reduction="mean", normalizer="mean")


def _num_writers(graph: Any, group: Any) -> int:
    """Layers that make the channels of a group; a convolution per channel only passes them on."""
    made_by = {dep.target.module for dep, _ in group if graph.is_out_channel_pruning_fn(dep.handler)}
    return sum(
        isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
        for layer in made_by
    )


def _touched(graph: Any, group: Any, names: Mapping[nn.Module, str]) -> tuple[tuple[str, ...], ...]:
    """The layers with weights that lose outputs with a group, and those that lose inputs."""
    weighty = [(dep.handler, names[dep.target.module]) for dep, _ in group
               if isinstance(dep.target.module, nn.Conv2d | nn.Linear)]  # fmt: skip
    return tuple(
        tuple(dict.fromkeys(name for handler, name in weighty if does_lose(handler)))
        for does_lose in (graph.is_out_channel_pruning_fn, graph.is_in_channel_pruning_fn)
    )


def _is_grouped(layer: nn.Module) -> bool:
    """A convolution in groups that is not one per channel: its channels cannot go one by one."""
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups < layer.out_channels


def _own_layers(module: nn.Module) -> dict[type[nn.Module], Any]:
    """Layers of nets that say themselves how they lose channels, by `drop_inputs` and `drop_outputs`."""
    from torch_pruning.pruner.function import BasePruningFunc

    class Own(BasePruningFunc):
        def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
            layer.drop_outputs(list(idxs))
            return layer

        def prune_in_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
            layer.drop_inputs(list(idxs))
            return layer

        def get_out_channels(self, layer: Any) -> int:
            return layer.out_channels

        def get_in_channels(self, layer: Any) -> None:
            return None

    return {type(layer): Own() for layer in module.modules() if hasattr(layer, "drop_outputs")}
