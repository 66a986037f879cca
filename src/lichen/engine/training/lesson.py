"""lesson: what is to be learnt from which rows, as every phase of a step that trains understands it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.progress import Run
from lichen.core.protocols import Task
from lichen.data.batches import Epochs, Rounds
from lichen.engine.fit import fit
from lichen.engine.modules import architecture
from lichen.engine.training import masking, supervised
from lichen.engine.training.job import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A task with its data.

    Args:
        batch_size: rows per step over all processes; None: the usual one.
        balance: of classes, as `supervised.weights_of` takes it.
        num_judged: validation rows asked after each epoch; None: all.
        round_steps: steps of what then counts as an epoch; None: those of one pass over the rows.
        loss: in place of the task's. metric: in place of the task's figures.
    """

    task: Task
    data: Dataset
    assets: Mapping[str, Any]
    batch_size: int | None = None
    label_smoothing: float = 0.0
    balance: str = "none"
    num_judged: int | None = None
    round_steps: int | None = None
    loss: Callable[..., Any] | None = None
    metric: Callable[..., float] | None = None

    def fit(
        self,
        module: nn.Module,
        settings: Settings,
        *,
        run: Run,
        callback: Callable[..., Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Trains what of a module is not frozen, in place, on train rows as the data's policy varies them."""
        batches = supervised.batches_of(
            self.data,
            self.assets,
            batch_size=self.batch_size,
            seed=settings.seed,
            device=run.device,
            balance=self.balance,
        )
        rounds: Epochs = batches if self.round_steps is None else Rounds(batches, self.round_steps)
        with masking.kept(module, self.assets) as found:
            fit(
                module, rounds, settings, run=run, callback=callback, about=about,
                is_repeatable=self.loss is None and not found and _is_ours(self.task, module),
                objective=supervised.objective(
                    self.task, self.assets, label_smoothing=self.label_smoothing, loss=self.loss),
                judge=supervised.judge(self.task, self.data, self.assets, device=run.device,
                                       metric=self.metric, num_rows=self.num_judged),
            )  # fmt: skip


def _is_ours(task: Task, module: nn.Module) -> bool:
    """Whether task and net are files of the house, which compute from their input alone."""
    net, _ = getattr(module, architecture.ORIGIN, (":", {}))
    return ":" not in net and type(task).__module__.startswith("lichen.tasks.")
