"""soup: models that were fine-tuned from one start become one: their weights are averaged.

Greedy takes them from the best on, each only where the average does not become worse on validation, so the
soup is never below its best ingredient there. It costs nothing when it answers, unlike an ensemble.
Paper: Wortsman et al. 2022, "Model soups", section 2 and recipe 1.
Departs from it: where the ingredients' batch norms hold different figures, the average's are measured anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.step import step
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.task import task_of
from lichen.engine.training import masking, supervised

NUM_MEASURED, BATCH_SIZE = 512, 64
"""Train rows that batch norms are measured on, and how many at a time."""
Cook = Callable[[Sequence[int]], nn.Module]
"""The average of some ingredients, by their places."""


@step(splits=("train", "validation"))
def soup(
    data: Dataset,
    first: Model,
    second: Model,
    third: Model | None = None,
    fourth: Model | None = None,
    fifth: Model | None = None,
    sixth: Model | None = None,
    seventh: Model | None = None,
    eighth: Model | None = None,
    *,
    method: Literal["greedy", "uniform"] = "greedy",
    run: Run,
) -> Model:
    """Averages the weights of up to eight models of one net and one task.

    Args:
        method: greedy takes what does not harm the headline on validation; uniform takes all.

    Raises:
        UsageError: the models differ in more than their weights, or greedy has no validation rows.
    """
    given = [first, second, third, fourth, fifth, sixth, seventh, eighth]
    models = [model for model in given if model is not None]
    _require_alike(models)
    if len({model.digest for model in models}) < len(models):
        run.emit("warning", text="two of the models are the same one; `second: $name` says which is meant")
    cook = _cook(models, data, run.device)
    taken = list(range(len(models))) if method == "uniform" else _greedy(models, data, cook, run)
    return first.with_weights(backend.arrays_of(cook(taken).to("cpu")))


def _require_alike(models: Sequence[Model]) -> None:
    wanted = models[0]
    shapes = {name: array.shape for name, array in wanted.weights().items()}
    for place, model in enumerate(models[1:], 2):
        differs = next((what for what in ("net", "options", "task", "assets")
                        if getattr(model, what) != getattr(wanted, what)), None)  # fmt: skip
        if differs is None and shapes != {name: array.shape for name, array in model.weights().items()}:
            differs = "widths"
        if differs is None and not _have_equal_zeros(wanted, model):
            differs = "zeros in the layers that are masked"
        if differs:
            raise UsageError(
                f"the models of a soup must have the same {differs}; number {place} has others",
                hint="fine-tune them all from one model on one dataset",
            )


def _have_equal_zeros(model: Model, other: Model) -> bool:
    """Whether what is masked in one is masked in the other; the mean of others would not be zero there."""
    weights, others = model.weights(), other.weights()
    masked = [f"{layer}.weight" for layer in model.assets.get(masking.ASSET, {}).get("layers", [])]
    return all(
        torch.equal(backend.tensor_of(weights[name]) == 0, backend.tensor_of(others[name]) == 0)
        for name in masked
        if name in weights
    )


def _cook(models: Sequence[Model], data: Dataset, device: str) -> Cook:
    module = models[0].torch().to(device)
    weights = [
        {name: backend.tensor_of(array).to(device) for name, array in model.weights().items()}
        for model in models
    ]
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    figures = [name for name, _ in module.named_buffers() if name.endswith(("running_mean", "running_var"))]
    is_measured = any(not torch.equal(one[name], weights[0][name]) for one in weights for name in figures)

    def cook(places: Sequence[int]) -> nn.Module:
        module.load_state_dict(average([weights[place] for place in places]))
        if is_measured and len(places) > 1:
            _measure(module, norms, models[0], data, device)
        return module.eval()

    return cook


def average(ingredients: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every tensor; counters are those of the first."""
    return {
        name: torch.stack([one[name].double() for one in ingredients]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in ingredients[0].items()
    }


@torch.no_grad()
def _measure(module: nn.Module, norms: Sequence[nn.Module], model: Model, data: Dataset, device: str) -> None:
    """Gives batch norms the mean figures of some train rows."""
    task, rows = task_of(model.task), feeds.rows_of(data, "train", model.assets)
    images = rows.batch(supervised.judged_rows(rows, NUM_MEASURED), supervised.size_of(rows, model.assets))
    held = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]
        norm.train()
    for start in range(0, len(images) - 1, BATCH_SIZE):
        x_BCHW = torch.from_numpy(images[start : start + BATCH_SIZE].copy()).to(device)
        module(task.inputs(x_BCHW, model.assets))
    for norm, momentum in zip(norms, held, strict=True):
        norm.momentum = momentum


def _greedy(models: Sequence[Model], data: Dataset, cook: Cook, run: Run) -> list[int]:
    """The places of what is taken, the best first."""
    task, assets = task_of(models[0].task), models[0].assets
    task.check(data, "validation")
    judge = supervised.judge(task, data, assets, device=run.device)
    assert judge is not None
    sign = 1.0 if task.higher_is_better else -1.0
    alone = [judge.measure(cook([place]))[task.headline] for place in range(len(models))]
    order = sorted(range(len(models)), key=lambda place: -sign * alone[place])
    taken, best = order[:1], alone[order[0]]
    for place in order[1:]:
        value = judge.measure(cook([*taken, place]))[task.headline]
        if sign * value >= sign * best:
            taken, best = [*taken, place], value
    told = (
        f"{best:.4f} on {data.num_rows('validation')} validation rows, the best alone {alone[order[0]]:.4f}"
    )
    run.emit("note", text=f"{len(taken)} of {len(models)} taken: {task.headline} {told}")
    return taken
