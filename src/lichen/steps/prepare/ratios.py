"""ratios: how many channels each layer keeps becomes something to act in: a layer per step, within a budget.

Paper: He et al. 2018, "AMC".
"""

from __future__ import annotations

from typing import Literal

from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Ratio
from lichen.core.step import step
from lichen.data import environments
from lichen.engine.compression import latency
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.search import games
from lichen.engine.search import ratios as game
from lichen.engine.task import task_of


@step(splits=("validation",))
def ratios(
    model: Model,
    data: Dataset,
    *,
    speedup: Ratio = 2.0,
    by: Literal["macs", "latency"] = "macs",
    runtime: Literal["onnxruntime", "openvino"] = "onnxruntime",
    num_levels: Count = 8,
    round_to: Count = 2,
    num_rows: Count = 300,
    is_continuous: bool = False,
    run: Run,
) -> Environment:
    """Makes the choice of widths an environment: an episode narrows a net, and earns what it is still worth.

    Args:
        speedup: how many times fewer multiply-accumulates, or how many times less time of its layers, the net
            may take; what would take more is cut down before it is tried.
        by: what the budget counts: latency is that of this machine's layers, measured once.
        runtime: what times layers.
        num_levels: widths per layer to choose from.
        round_to: widths become multiples of this.
        num_rows: of validation that a choice is tried on, of the half whose bits say so.
        is_continuous: an action is a share, as decide.sac takes it, not the number of a level.

    Raises:
        UsageError: the net cannot be made to fit the budget.
    """
    task_of(model.task).check(data, "validation")
    module, shape = backend.module_of(model), feeds.shape(model.assets)
    shapes, needed = game.shapes_needed(module, shape, num_levels, round_to)
    if by == "macs":
        table = {str(one): game.macs_of(one) for one in needed}
    else:
        about = {"runtime": runtime, "shapes": sorted(str(one) for one in needed)}
        table = run.decide("layer_ms", lambda: latency.measured(needed, runtime), about=about)
    budget = sum(table[str(one)] for one in shapes.values()) / speedup
    options = {
        "model": games.hold(model), "data": games.hold(data), "table": table, "budget": budget,
        "num_rows": num_rows, "num_levels": num_levels, "round_to": round_to, "is_continuous": is_continuous,
    }  # fmt: skip
    return environments.look_at("lichen.engine.search.ratios:Ratios", options, [])
