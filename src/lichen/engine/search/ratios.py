"""ratios: how many channels each layer of a net keeps within a budget, as a game of one layer per place.

Paper: He et al. 2018, "AMC": the state of a layer (equation 1), wishes cut down so that the budget can still
    be met (algorithm 1), and the accuracy before any recovery as what is earned.
Departs from it: only layers that write no residual stream are narrowed; channels go by the norm of their
    weights; batch-norm takes each batch's own figures, as it will after recovery.

Shapes: N rows, G groups of channels, O numbers of a state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.session import current
from lichen.engine.compression import allocation, latency, pruning
from lichen.engine.compression.latency import Shape
from lichen.engine.compression.pruning import Group
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.search import games
from lichen.engine.search.games import Ledger, Levels
from lichen.engine.search.moves import Moves
from lichen.engine.task import task_of
from lichen.engine.training import execution, supervised
from lichen.engine.training.execution import Execution

BATCH = 256
"""Rows that batch-norm takes its figures of."""
MOST_JUDGED = 1000
"""Rows that judge what was chosen: an interval of 3 points at most."""


class Ratios(Moves):
    """The environment.

    Args:
        model: the digest of what is to be narrowed. data: of what it is judged on.
        table: the cost of layers by their shape, in whatever the budget is counted in.
        budget: what the net may cost.
        num_rows: of validation that a choice is tried on.
    """

    def __init__(
        self, model: str, data: str, table: dict, budget: float, num_rows: int, num_levels: int,
        round_to: int, is_continuous: bool,
    ) -> None:  # fmt: skip
        costs, run = tuple(sorted(table.items())), current().run
        game = game_of(model, data, costs, budget, num_rows, num_levels, round_to, run)
        super().__init__(game, is_continuous=is_continuous)


@lru_cache(maxsize=4)
def game_of(
    model: str, data: str, table: tuple[tuple[str, float], ...], budget: float, num_rows: int,
    num_levels: int, round_to: int, run: str,
) -> Game:  # fmt: skip
    """The game, built once for all copies of the environment in a run, as its values lie in that store."""
    subject, judged = games.held(model), games.held(data)
    assert isinstance(subject, Model) and isinstance(judged, Dataset)
    return Game(subject, judged, dict(table), budget, num_rows, num_levels, round_to)


class Game(Ledger):
    """Levels are shares of a layer's channels, the highest all of them."""

    is_ordered = True
    recorded: Levels | None = None

    @property
    def metric(self) -> str:
        return self.task.headline

    def __init__(
        self, model: Model, data: Dataset, table: Mapping[str, float], budget: float, num_rows: int,
        num_levels: int, round_to: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.task, self.assets = task_of(model.task), model.assets
        self.sign = 1.0 if self.task.higher_is_better else -1.0
        self.shape, self.module = feeds.shape(model.assets), backend.module_of(model)
        self.shapes = latency.shapes_of(self.module, self.shape)
        self.groups = groups_of(self.module, self.shape)
        self.table, self.budget, self.round_to = table, budget, round_to
        self.num_places, self.num_levels = len(self.groups), num_levels
        rows = feeds.rows_of(data, "validation", model.assets)
        # Rows may lie class by class; by their ids each batch is a fair draw.
        by_id = np.argsort(rows.ids, kind="stable")
        does_choose = games.chooses(rows.ids[by_id])
        self.rows, self.chosen = rows, by_id[does_choose][:num_rows]
        self.others = by_id[~does_choose][:MOST_JUDGED]
        least = self.cost((0,) * self.num_places)
        if least > budget:
            raise UsageError(f"this net costs {least / budget:.2f} times the budget at its narrowest",
                             hint="a smaller speedup")  # fmt: skip
        self.usual = self._alike()

    def _alike(self) -> Levels:
        """The same level for every layer, as high as the budget allows; the next one for the first few."""
        level = max(level for level in range(self.num_levels) if self._fits((level,) * self.num_places))
        levels = [level] * self.num_places
        for place in range(self.num_places):
            raised = (*levels[:place], min(level + 1, self.num_levels - 1), *levels[place + 1 :])
            levels = list(raised) if self._fits(raised) else levels
        return tuple(levels)

    def _fits(self, levels: Levels) -> bool:
        return self.cost(levels) <= self.budget

    def kept(self, levels: Levels) -> dict[str, int]:
        """Channels that stay, by layer."""
        return {group.layer: width_at(group, level, self.num_levels, self.round_to)
                for group, level in zip(self.groups, levels, strict=True)}  # fmt: skip

    def cost(self, levels: Levels) -> float:
        """The sum over layers; what narrower inputs save and what narrower outputs save is multiplied."""
        shares: dict[str, float] = {}
        for group, level in zip(self.groups, levels, strict=True):
            num_kept = width_at(group, level, self.num_levels, self.round_to)
            for name, shape in allocation.touched(group, self.shapes, num_kept).items():
                saved = self.table[str(shape)] / max(self.table[str(self.shapes[name])], 1e-12)
                shares[name] = shares.get(name, 1.0) * saved
        return sum(self.table[str(shape)] * shares.get(name, 1.0) for name, shape in self.shapes.items())

    def nearest(self, levels: Levels, level: int) -> int:
        """The wish, or the highest level below it that lets the layers after it meet the budget."""
        rest = (0,) * (self.num_places - len(levels) - 1)
        return next((lower for lower in range(level, 0, -1) if self._fits((*levels, lower, *rest))), 0)

    def state(self, levels: Levels) -> np.ndarray:
        """float32 (11,): the layer that is next, what was saved so far, and what is left to be saved."""
        if len(levels) == self.num_places:
            return np.zeros(11, np.float32)
        place, shape = len(levels), self.shapes[self.groups[len(levels)].layer]
        whole = self.cost((self.num_levels - 1,) * self.num_places)
        so_far = self.cost((*levels, *(self.num_levels - 1,) * (self.num_places - place)))
        widest = max(max(one.width, one.fan_in) for one in self.shapes.values())
        tallest = max(one.side[0] for one in self.shapes.values())
        told = [
            place / self.num_places, shape.width / widest, shape.fan_in / widest, shape.side[0] / tallest,
            shape.side[1] / tallest, shape.stride[0] / 2, shape.kernel[0] / 7,
            self.table[str(shape)] / whole, 1.0 - so_far / whole, (so_far - self.budget) / whole,
            (levels[-1] + 1) / self.num_levels if levels else 1.0,
        ]  # fmt: skip
        return np.array(told, np.float32)

    def tried(self, levels: Levels) -> float:
        return self.sign * self.task.figures(*self._answers(levels, self.chosen))[self.task.headline]

    def outcome(self, levels: Levels, seed: int) -> np.ndarray:
        """Of the rows that did not choose; nothing here depends on a seed."""
        _, answers = self.task.score(*self._answers(levels, self.others))
        return self.sign * answers["outcome"].numpy().astype(np.float64)

    def _answers(self, levels: Levels, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs (N, K) of the narrowed net, and the targets."""
        slim = pruning.without(self.module, self.shape, allocation.gone(self.groups, self.kept(levels)))
        for layer in slim.modules():
            layer.training = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        size, outputs = supervised.size_of(self.rows, self.assets), []
        with execution.in_force(Execution(), "cpu"), torch.no_grad():
            for some in np.array_split(places, max(1, round(len(places) / BATCH))):
                x_NCHW = torch.from_numpy(self.rows.batch(some, size))
                outputs.append(slim(self.task.inputs(x_NCHW, self.assets)).numpy())
        return np.concatenate(outputs), self.rows.targets[places]

    def words(self, levels: Levels) -> str:
        return " ".join(f"{layer}={num}" for layer, num in self.kept(levels).items())

    def line(self, levels: Levels) -> str:
        widths = ", ".join(f"{json.dumps(layer)}: {num}" for layer, num in self.kept(levels).items())
        return f"- compress.prune: {{widths: {{{widths}}}}}"


def groups_of(module: nn.Module, image_shape: Any) -> list[Group]:
    """What can be narrowed, from the first layer to the last."""
    order = list(latency.shapes_of(module, image_shape))
    found = allocation.own(pruning.rank(module, image_shape, "group_norm"))
    return sorted(found, key=lambda group: order.index(group.layer))


def width_at(group: Group, level: int, num_levels: int, round_to: int) -> int:
    """Channels that a layer keeps at a level; the highest is all of them."""
    return group.num_kept(round((level + 1) / num_levels * len(group.importance_C)), round_to)


def shapes_needed(
    module: nn.Module, image_shape: Any, num_levels: int, round_to: int
) -> tuple[dict[str, Shape], set[Shape]]:
    """The shapes of all layers by name, and every one that a budget asks the cost of."""
    shapes = latency.shapes_of(module, image_shape)
    found = set(shapes.values())
    for group in groups_of(module, image_shape):
        for level in range(num_levels):
            num_kept = width_at(group, level, num_levels, round_to)
            found |= set(allocation.touched(group, shapes, num_kept).values())
    return shapes, found


def macs_of(shape: Shape) -> float:
    """Multiply-accumulates of a layer."""
    height, width = shape.side_out
    return float(
        shape.fan_in // shape.groups * shape.width * shape.kernel[0] * shape.kernel[1] * height * width
    )
