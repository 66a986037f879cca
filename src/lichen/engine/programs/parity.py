"""parity: does a Program answer as the value it was made from? Both are asked through the answer path.

Shapes: N rows, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data.encoder import Encoded
from lichen.data.images import Images
from lichen.data.tokens import Tokens
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.inputs.codes import Codes
from lichen.engine.programs import symptoms
from lichen.engine.scores import intervals
from lichen.engine.task import task_of
from lichen.engine.training import supervised


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What a changed value loses on the same rows: the mean difference with its 95 % interval."""

    metric: str
    before: float
    after: float
    drop: float
    """How much worse the headline is; negative: better."""
    low: float
    high: float
    changed: float
    """The share of rows answered differently."""
    split: str
    num_rows: int

    def is_within(self, max_drop: float) -> bool:
        """Whether the drop is allowed; a row's share of rounding is no drop."""
        return self.drop <= max_drop + 1e-9

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.before:.4f} -> {self.after:.4f} on {self.num_rows} rows of {self.split}: "
            f"a drop of {self.drop:.4f} [{self.low:.4f}, {self.high:.4f}]"
        )


def judging_split(data: Dataset) -> str:
    """Where the rows stand that gates ask about: validation, or train where nothing was held back."""
    return "validation" if data.num_rows("validation") else "train"


def judging_rows(data: Dataset) -> Any:
    """The rows that gates ask about."""
    return data.rows(judging_split(data))


class Reference:
    """The value to be equalled, asked once about the judging rows."""

    def __init__(self, value: Model | Program, data: Dataset) -> None:
        self.value = value
        self.task = task_of(value.task)
        self.rows: Any = feeds.rows_of(data, judging_split(data), value.assets)
        self.images_NCHW = supervised.whole(self.rows, value.assets)
        self.outputs_NK = answer.logits(value, self.images_NCHW)

    def require_equal(self, program: Program, tolerance: float) -> float:
        """The largest difference of an output, as a share of the largest output of the reference.

        Raises:
            GateError: it is over the tolerance, or an output is not finite; names the worst row.
        """
        return self.require_rows(
            answer.logits(program, self.images_NCHW), np.arange(len(self.images_NCHW)), tolerance
        )

    def require_rows(self, found_NK: np.ndarray, rows: np.ndarray, tolerance: float) -> float:
        """The same of what was found for some rows.

        Raises:
            GateError: as `require_equal`; says which known fault explains it, where one does.
        """
        wanted_NK = self.outputs_NK[rows]
        if found_NK.shape != wanted_NK.shape:
            raise GateError(
                f"the export answers {found_NK.shape[1:]} outputs; the model {wanted_NK.shape[1:]}"
            )
        scale = max(float(np.abs(self.outputs_NK).max()), 1e-12)
        worst_N = np.nan_to_num(np.abs(found_NK - wanted_NK), nan=np.inf).max(1) / scale
        row = int(worst_N.argmax())
        if not worst_N[row] <= tolerance:
            fault = self._fault(rows, wanted_NK, found_NK)
            raise GateError(
                f"the export must answer as the model: outputs within {tolerance:g} of the largest output"
                f" ({scale:.4g}); {np.count_nonzero(worst_N > tolerance)} of {len(worst_N)}"
                f" {self.rows.split} rows differ by more, the worst by {worst_N[row]:.3g}"
                f": {fault or 'no known fault explains it'}",
                where=self.rows.describe(int(rows[row])), hint=_words(wanted_NK[row], found_NK[row]),
            )  # fmt: skip
        return float(worst_N[row])

    def _fault(self, rows: np.ndarray, wanted_NK: np.ndarray, found_NK: np.ndarray) -> str | None:
        """The known fault of pictures that explains what was found."""
        if not self.has_pictures:
            return None
        return symptoms.explain(self.value, self.images_NCHW[rows], wanted_NK, found_NK)

    @property
    def has_pictures(self) -> bool:
        return isinstance(self.rows, Images | Codes)

    def inputs(self, rows: np.ndarray) -> list[Any]:
        """Rows as someone hands them in: as they are stored, or as the net takes them."""
        if isinstance(self.rows, Tokens):
            return self.rows.rows.batch(rows)
        is_stored = isinstance(self.rows, Images | Codes | Encoded)
        return list(self.rows.encoded(rows) if is_stored else self.images_NCHW[rows])

    def require_close(self, program: Program, max_drop: float) -> Pairing:
        """The pairing of a Program whose headline may drop by so much and no more.

        Raises:
            GateError: it drops by more; says by how much, with the interval.
        """
        pairing = self.pair(program)
        if not pairing.is_within(max_drop):
            raise GateError(f"{pairing.metric} may drop by {max_drop:g} at most; {program.precision} by"
                            f" {program.runtime} has {pairing}")  # fmt: skip
        return pairing

    def pair(self, value: Model | Program) -> Pairing:
        """How the headline changes from the reference to another value, row by row."""
        return self.paired(answer.logits(value, self.images_NCHW))

    def paired(self, found_NK: np.ndarray) -> Pairing:
        """The same of what another value said of the rows."""
        targets = self.rows.targets
        before, after = (self.task.figures(outputs, targets)[self.task.headline]
                         for outputs in (self.outputs_NK, found_NK))  # fmt: skip
        sign = 1.0 if self.task.higher_is_better else -1.0
        said, found = (self.answers(outputs) for outputs in (self.outputs_NK, found_NK))
        loss_N = sign * (said["outcome"].astype(np.float64) - found["outcome"].astype(np.float64))
        is_other_N = (said["answer"] != found["answer"]).reshape(len(loss_N), -1).any(1)
        low, high = intervals.paired(loss_N, outcome_N=said["outcome"])
        return Pairing(
            metric=self.task.headline, before=before, after=after, drop=sign * (before - after),
            low=low, high=high, changed=float(is_other_N.mean()),
            split=self.rows.split, num_rows=len(loss_N),
        )  # fmt: skip

    def answers(self, outputs_NK: np.ndarray) -> dict[str, np.ndarray]:
        """What the task says per row: `answer`, and `outcome`, the row's share of the headline.

        A document has no other answer than how surely it was told.
        """
        _, answers = self.task.score(outputs_NK, self.rows.targets)
        outcome = answers["outcome"].numpy()
        return {"answer": answers["answer"].numpy() if "answer" in answers else outcome, "outcome": outcome}


def _words(wanted_K: np.ndarray, found_K: np.ndarray) -> str:
    """The worst row's outputs, side by side."""
    wanted, found = ("[" + ", ".join(f"{x:.4g}" for x in row[:6]) + ("" if len(row) <= 6 else ", ...") + "]"
                     for row in (wanted_K, found_K))  # fmt: skip
    return f"that row: the model says {wanted}, the export {found}"
