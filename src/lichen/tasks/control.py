"""control: what to do next, given what is seen.

Shapes: B rows of a batch, N rows of a split, K outputs, A numbers of an action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.engine.decision import actions
from lichen.engine.inputs import images, observations
from lichen.engine.scores import classes, metrics
from lichen.engine.scores.classes import Classification


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Classification):
    """The task of acting: of rows, to do what was done; in an environment, to earn."""

    name: str = "control"
    headline: str = "agreement"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("observation",)

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: no observations, fewer than two actions, an action that is none, no rows.
        """
        if "observation" not in data.schema:
            raise DataError(
                "this task needs what an agent saw and did",
                hint="decide.record or li.observations makes such data",
            )
        if not data.schema["observation"]["low"]:
            classes.check(data, split, (*self.columns, "label"))
        elif not data.num_rows(split):
            raise DataError(f"split `{split}` has no rows")

    def num_outputs(self, data: Dataset) -> int:
        return len(data.labels) or len(data.schema["observation"]["low"])

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """`observation_shape`, and `labels` of discrete actions or the range of continuous ones.

        Raises:
            OptionError: a size or a normaliser of pictures is given.
        """
        images.refuse_sizes("observations", image_size, normaliser)
        about = data.schema["observation"]
        seen = {"observation_shape": list(about["shape"])}
        if not about["low"]:
            return {**seen, "labels": data.labels}
        return {**seen, "action_low": about["low"], "action_high": about["high"]}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """float32 (B, ...) -> the same, in deviations from the mean where the policy keeps these."""
        return observations.inputs(batch, assets)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Per row (B,): cross entropy against what was done (B,), or the squared error of it (B, A)."""
        if targets.is_floating_point():
            return (outputs - targets).square().mean(1)
        return Classification.loss(self, outputs, targets)

    def apart(self, outputs: Tensor, taught: Tensor, assets: Mapping[str, Any], temperature: float) -> Tensor:
        """How far (B,) from a teacher: by softened chances, or the squared error of actions."""
        if "action_low" in assets:
            return self.loss(outputs, taught.clamp(-1.0, 1.0).float())
        return Classification.apart(self, outputs, taught, assets, temperature)

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of one epoch, headline first."""
        if targets.ndim == 2:
            apart = outputs - targets
            return {"agreement": float(_agreement(outputs, targets).mean()),
                    "squared_error": float((apart * apart).mean())}  # fmt: skip
        found = Classification.figures(self, outputs, targets)
        return {"agreement": found.pop("accuracy"), **found}

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """How far outputs (N, K) agree with what was done, with 95 % intervals, and per-row answers."""
        if targets.ndim == 1:
            found, answers = Classification.score(self, outputs, targets)
            return {"agreement": found.pop("accuracy"), **found}, answers
        said = {
            "truth": targets,
            "answer": np.clip(outputs, -1, 1),
            "outcome": _agreement(outputs, targets),
        }
        measured = metrics.bootstrap(lambda out, done: float(_agreement(out, done).mean()), outputs, targets)
        return {"agreement": measured}, {
            name: Array.of(values.astype(np.float32)) for name, values in said.items()
        }

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row the action, and of discrete ones the outputs that it was chosen by."""
        done = actions.greedy(outputs, assets)
        if "action_low" in assets:
            return [{"action": row.tolist()} for row in done]
        return [{"label": assets["labels"][action], "action": int(action), "outputs": row.tolist()}
                for action, row in zip(done, outputs.astype(np.float64), strict=True)]  # fmt: skip


def _agreement(outputs_NA: np.ndarray, targets_NA: np.ndarray) -> np.ndarray:
    """(N,): 1 where the same is done, 0 where it is the opposite end of the range."""
    return 1.0 - np.abs(np.clip(outputs_NA, -1.0, 1.0) - targets_NA).mean(1) / 2.0


TASK = Control()
