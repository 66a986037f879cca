"""allocation: which layers keep how many channels, so that a net meets a time at the least harm.

Each group of channels has alternatives: narrower by multiples, or, where it is the inside of a residual
block, none at all, so that the block goes. What an alternative saves is looked up in the table of measured
layers; what it harms is tried: the loss of the net with this group alone narrowed, batch-norm taking each
batch's own figures as it will after recovery. Then a knapsack is filled: the least harm that saves enough.
Paper: Yang et al. 2018 (NetAdapt: measured layers); Shen et al. 2022 (HALP: a knapsack of latency).
Departs from them: harm is tried and not estimated, so that whole blocks compete with single channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lichen.core.errors import OptionError, UsageError, nearest
from lichen.engine.compression import latency, pruning
from lichen.engine.compression.latency import Shape
from lichen.engine.compression.pruning import Group

BINS = 1000
"""Of the time that could be saved: the knapsack counts in these."""
TRIES = 6
"""Of a choice against the clock,"""
NUDGE = 0.002
"""each asking for at least this share of the time more."""
WORTH = 0.02
"""An alternative that saves less than this share of its group's time beyond the last one is none."""

Loss = Callable[[nn.Module], float]


@dataclass(frozen=True, slots=True)
class Alternative:
    """A group with fewer channels.

    Args:
        saved_ms: against the group as it is.
        harm: how much the loss grows.
    """

    num_kept: int
    saved_ms: float
    harm: float = 0.0


def own(groups: Sequence[Group]) -> list[Group]:
    """The groups that one layer writes: those of a residual stream stay, as many layers hang on them."""
    return [group for group in groups if group.num_writers == 1]


def shapes_needed(
    module: nn.Module, image_shape: Sequence[int], groups: Sequence[Group], round_to: int
) -> set[Shape]:
    """Every shape whose time the alternatives ask for, those of the net as it is among them."""
    shapes = latency.shapes_of(module, image_shape)
    found = set(shapes.values())
    for group in groups:
        for num_kept in _widths(module, group, round_to):
            found |= set(touched(group, shapes, num_kept).values())
    return found


def alternatives(
    module: nn.Module, image_shape: Sequence[int], groups: Sequence[Group], table: Mapping[str, float], *,
    round_to: int, loss: Loss,
) -> list[list[Alternative]]:  # fmt: skip
    """Per group the widths that are worth their harm, the whole one first."""
    shapes = latency.shapes_of(module, image_shape)
    before = loss(pruning.without(module, image_shape, {}))  # of a copy, for it moves the figures of norms
    found = []
    for group in groups:
        whole_ms = latency.total_ms(touched(group, shapes, len(group.importance_C)).values(), table)
        kept = [Alternative(len(group.importance_C), 0.0)]
        for num_kept in _widths(module, group, round_to):
            saved_ms = whole_ms - latency.total_ms(touched(group, shapes, num_kept).values(), table)
            if saved_ms > kept[-1].saved_ms + WORTH * whole_ms:
                slim = pruning.without(module, image_shape, {group.layer: weakest(group, num_kept)})
                kept.append(Alternative(num_kept, saved_ms, max(0.0, loss(slim) - before)))
        found.append(kept)
    return found


def weakest(group: Group, num_kept: int) -> list[int]:
    """The channels that go where so many stay."""
    order = torch.argsort(group.importance_C, stable=True).tolist()
    return sorted(order[: len(order) - num_kept])


def least_harm(found: Sequence[Sequence[Alternative]], saved_ms: float) -> list[Alternative] | None:
    """One alternative per group that together save so much at the least harm; None: they cannot."""
    most = sum(max(one.saved_ms for one in options) for options in found)
    if most < saved_ms or most <= 0.0:
        return None
    unit = most / BINS
    wanted = int(np.ceil(saved_ms / unit - 1e-6))
    # Per number of bins saved so far, which counts no further than what is wanted: the least harm.
    harm_S = np.full(wanted + 1, np.inf)
    harm_S[0] = 0.0
    taken = []
    for options in found:
        best_S = np.full(wanted + 1, np.inf)
        choice_S, from_S = np.zeros((2, wanted + 1), int)
        for place, option in enumerate(options):
            reached_S = np.minimum(np.arange(wanted + 1) + round(option.saved_ms / unit), wanted)
            for start in range(wanted + 1):
                end, harm = reached_S[start], harm_S[start] + option.harm
                if harm < best_S[end]:
                    best_S[end], choice_S[end], from_S[end] = harm, place, start
        taken.append((choice_S, from_S))
        harm_S = best_S
    if not np.isfinite(harm_S[wanted]):
        return None
    chosen, at = [], wanted
    for options, (choice_S, from_S) in zip(reversed(found), reversed(taken), strict=True):
        chosen.append(options[choice_S[at]])
        at = from_S[at]
    return chosen[::-1]


def _widths(module: nn.Module, group: Group, round_to: int) -> list[int]:
    """Narrower widths of a group, wide to narrow; 0 last where a block may go with it."""
    width = len(group.importance_C)
    found = [num for num in range(round_to, width, round_to) if num >= group.num_kept(1, round_to)]
    return [*reversed(found), *([0] if is_inner(module, group.layer) else [])]


def is_inner(module: nn.Module, layer: str) -> bool:
    """Whether a layer is the inside of a block that says it can do without: by the name in `INNER`."""
    owner, _, name = layer.rpartition(".")
    return getattr(module.get_submodule(owner), "INNER", None) == name


def touched(group: Group, shapes: Mapping[str, Shape], num_kept: int) -> dict[str, Shape]:
    """The layers that write and read a group's channels, by name, with so many of them."""
    share = num_kept / len(group.importance_C)
    names = [name for name in dict.fromkeys([*group.writers, *group.readers]) if name in shapes]
    return {
        name: shapes[name].narrowed(
            writes=share if name in group.writers else 1.0, reads=share if name in group.readers else 1.0
        )
        for name in names
    }


def meeting(
    module: nn.Module, image_shape: Sequence[int], groups: Sequence[Group], table: Mapping[str, float], *,
    speedup: float, round_to: int, loss: Loss, gain_of: Callable[[nn.Module], float],
) -> dict[str, int]:  # fmt: skip
    """Channels kept per layer, so that the net answers `speedup` times as fast as `gain_of` counts from.

    The table says what to try and the clock whether it is enough; where it is not, more has to be saved. A
    net that is as fast already, as after a round that saved more than it had to, stays whole.

    Raises:
        UsageError: it cannot be made so fast.
    """
    groups = own(groups)
    best = start = gain_of(module)
    if max(start, 1.0) >= speedup:  # once as fast is no saving, whatever the noise of the clock says
        return {group.layer: len(group.importance_C) for group in groups}
    found = alternatives(module, image_shape, groups, table, round_to=round_to, loss=loss)
    now_ms = latency.total_ms(latency.shapes_of(module, image_shape).values(), table)
    saved_ms = now_ms * (1.0 - start / speedup)
    for _ in range(TRIES):
        chosen = least_harm(found, saved_ms)
        if chosen is None:
            break
        kept = {group.layer: one.num_kept for group, one in zip(groups, chosen, strict=True)}
        gain = gain_of(pruning.without(module, image_shape, gone(groups, kept)))
        if gain >= speedup:
            return kept
        best = max(best, gain)
        saved_ms += now_ms * start * max(1.0 / gain - 1.0 / speedup, NUDGE)
    raise UsageError(
        f"this net was made {best:.2f} times faster here; speedup is {speedup:g}",
        hint="a smaller speedup" + (", or a smaller round_to" if round_to > 1 else ""),
    )


def told(module: nn.Module, groups: Sequence[Group], widths: Mapping[str, Any]) -> dict[str, int]:
    """Channels kept per layer as somebody wrote them.

    Raises:
        OptionError: a layer has no channels that can go, or not so many.
    """
    known = {group.layer: len(group.importance_C) for group in groups}
    for layer, num_kept in widths.items():
        if layer not in known:
            raise OptionError(f"`widths` must be of layers that can be narrowed, not `{layer}`",
                              hint=nearest(layer, known))  # fmt: skip
        least = 0 if is_inner(module, layer) else 1
        if type(num_kept) is not int or not least <= num_kept <= known[layer]:
            raise OptionError(f"`{layer}` must keep {least} to {known[layer]} channels, not {num_kept!r}")
    return dict(widths)


def gone(groups: Sequence[Group], kept: Mapping[str, int]) -> dict[str, list[int]]:
    """The channels to remove per layer where so many stay."""
    found = {group.layer: weakest(group, kept[group.layer]) for group in groups if group.layer in kept}
    return {layer: channels for layer, channels in found.items() if channels}
