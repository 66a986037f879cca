"""scores: what was measured, on which split, with intervals; cost stands beside, outside the digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, ClassVar

from lichen.core.array import Array
from lichen.core.packing import pack, unpack
from lichen.core.value import Memory, Value


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scores(Value):
    """Quality of one value on one split; `answers` keeps what was said per row, so that scores can be paired.

    `metrics[name]` is `{"value", "low", "high", "level"}`: the figure and its interval, whose ends are None
    where nothing is known of them.
    """

    kind: ClassVar[str] = "scores"

    @classmethod
    def build(
        cls,
        *,
        subject: str,
        data: str,
        split: str,
        num_rows: int,
        headline: str,
        metrics: Mapping[str, Mapping[str, float]],
        answers: Mapping[str, Array],
        higher_is_better: bool = True,
        notes: Mapping[str, Any] | None = None,
    ) -> Scores:
        """Scores of a subject.

        Args:
            subject: digest of the Model or Program.
            data: identity of the split's rows.
            headline: the metric that decides.
            answers: per-row arrays in row order, all of length num_rows; `outcome` (float32) is the row's
                share of the headline, `truth` and `answer` what should be and was said.
        """
        memory = Memory()
        manifest = {
            "kind": "scores", "subject": subject, "data": data, "split": split, "num_rows": num_rows,
            "headline": headline, "higher_is_better": higher_is_better,
            "metrics": {name: _told(entry) for name, entry in metrics.items()},
            "answers": pack(answers, memory), "notes": dict(notes or {}),
        }  # fmt: skip
        return cls(manifest=manifest, blobs=memory)

    @property
    def split(self) -> str:
        return self.manifest["split"]

    @property
    def num_rows(self) -> int:
        return self.manifest["num_rows"]

    @property
    def unit(self) -> str:
        """What was counted: rows of data, or episodes of an environment."""
        return "episodes" if "episode_length" in self.metrics else "rows"

    @property
    def headline(self) -> str:
        return self.manifest["headline"]

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]:
        return self.manifest["metrics"]

    @property
    def value(self) -> float:
        """The headline metric."""
        return self.metrics[self.headline]["value"]

    @property
    def interval(self) -> tuple[float, float]:
        """Of the headline metric; NaN where nothing is known of it."""
        low, high = self.bounds
        return (nan, nan) if low is None or high is None else (low, high)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The interval as it is written; None where nothing is known of it."""
        return self.metrics[self.headline]["low"], self.metrics[self.headline]["high"]

    def answers(self) -> dict[str, Array]:
        return {name: unpack(entry, self.blobs) for name, entry in self.manifest["answers"].items()}

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric]["value"]

    def facts(self) -> dict[str, str]:
        low, high = self.bounds
        within = "" if low is None or high is None else f" [{low:.4f}, {high:.4f}]"
        return {
            self.headline: f"{self.value:.4f}{within}",
            "on": f"{self.num_rows} {self.unit} of {self.split}",
        }


def _told(entry: Mapping[str, float]) -> dict[str, Any]:
    """A figure as JSON says it, which has no NaN."""
    ends = {name: None for name in ("low", "high") if isnan(entry.get(name, 0.0))}
    return {**entry, **ends}
