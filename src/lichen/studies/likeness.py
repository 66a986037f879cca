"""likeness: how good a generator's rows of a table are: like the real ones, useful in their place, and new.

Real rows are those of validation, which the generator has not seen. The same distances between train and
validation rows say what chance alone does. A classifier that learns from made rows alone is compared with one
that learns from as many real ones (Esteban et al. 2017, section 4.2), both on validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lichen.core import calling, step
from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.schema import Count, Seed
from lichen.core.scoring import Judge, data_of
from lichen.core.session import Session, current
from lichen.core.value import Value
from lichen.data import arrays, encoder
from lichen.engine.generation import generating, memorization, neighbours
from lichen.engine.generation import likeness as measure
from lichen.engine.scores import intervals
from lichen.engine.scores.metrics import Figure
from lichen.engine.training import supervised

LEARNER = {"net": "mlp", "task": "tabular_classification", "optimizer": "adamw"}
"""How the two classifiers learn."""
MAKES = {"encoder", "num_codes"}
"""The assets of a generator of rows."""
SHOWN = 4
"""Made rows that are shown beside the nearest train row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Figures of made rows, each `{"value", "low", "high", "level"}`; `chance` is what train rows get.

    `from_real` and `from_made` are the headlines of the two classifiers; `lost` is their difference.
    """

    figures: Mapping[str, Figure]
    chance: Mapping[str, Figure]
    columns: Mapping[str, float]
    """The marginal distance of each column."""
    metric: str
    from_real: float
    from_made: float
    lost: Figure
    copying: Figure
    copies: bool
    num_rows: int
    nearest: tuple[Mapping[str, Any], ...]
    """Some made rows, each `{"label", "made", "real"}` with the train row that is nearest."""

    @property
    def says_no(self) -> bool:
        return self.copies

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"  {name:22s} {one['value']:.4f}  [{one['low']:.4f}, {one['high']:.4f}], "
            f"of train rows {self.chance[name]['value']:.4f}"
            for name, one in self.figures.items()
        ]
        worst = sorted(self.columns, key=lambda name: -self.columns[name])[:3]
        said = "copies train rows" if self.copies else "no sign of copied train rows"
        return "\n".join([
            f"{self.num_rows} made rows beside as many real ones of validation",
            *lines,
            "  least like: " + ", ".join(f"{name} {self.columns[name]:.3f}" for name in worst),
            f"{self.metric} {self.from_made:.4f} learnt from made rows, {self.from_real:.4f} from real ones: "
            f"{-self.lost['value']:+.4f} [{-self.lost['high']:+.4f}, {-self.lost['low']:+.4f}]; {said}",
        ])  # fmt: skip


def likeness(
    value: Value,
    data: Value | None = None,
    *,
    num_rows: Count = 1000,
    epochs: Count = 20,
    seed: Seed = 0,
) -> Likeness:
    """Compares what a generator of rows draws with validation rows.

    Args:
        value: a generator made by `generate.ctgan`.
        data: the table that it learnt from; None: that of its life.
        num_rows: of each side that are compared; as many as validation has where it has fewer.
        epochs: of the two classifiers.

    Raises:
        UsageError: the value is no generator of rows, or its life has no data.
        DataError: validation has too few rows.
    """
    if not isinstance(value, Model) or value.made is None or not value.assets.keys() >= MAKES:
        raise UsageError(f"{value!r} is no generator of rows that recorded steps made",
                         hint="generate.ctgan(data).generator; studies.fidelity is for pictures")  # fmt: skip
    session = current()
    table = data_of(value, data, session)
    if not isinstance(table, Dataset):
        raise UsageError(f"rows are compared with those of a Dataset, not with {table!r}")
    told = encoder.fitted(table.rows("train"))
    train, held = (told.encode(table.rows(split).records) for split in ("train", "validation"))
    rows = table.rows("validation")
    chosen = supervised.judged_rows(rows, num_rows)
    records = _drawn(value, rows.targets[chosen], seed)
    made = told.encode(records)
    some = supervised.judged_rows(table.rows("train"), len(chosen))
    memory = memorization.asked(train, held, made)
    judge, alone = Judge(session, table), _made_alone(value, table, seed)
    scored = [judge.score(_learnt(one, epochs, seed, session)) for one in (table, alone)]
    lost, low, high = intervals.of((scored[0].outcome - scored[1].outcome)[None], 0.95)
    return Likeness(
        figures=measure.figures(held[chosen], made, told),
        columns=measure.marginals(held[chosen], made, told),
        chance=measure.figures(held[chosen], train[some], told), metric=scored[0].scores.headline,
        from_real=scored[0].scores.value, from_made=scored[1].scores.value,
        lost={"value": lost, "low": low, "high": high, "level": 0.95}, copying=memory.area,
        copies=memory.is_flagged, num_rows=len(chosen),
        nearest=_beside(table, records, made, train, rows.targets[chosen]),
    )  # fmt: skip


def _beside(
    data: Dataset,
    records: list[encoder.Record],
    made_MW: np.ndarray,
    train_NW: np.ndarray,
    targets_M: np.ndarray,
) -> tuple[Mapping[str, Any], ...]:
    """Some made rows of all classes, each with the train row that is nearest to it."""
    some = np.unique(np.linspace(0, len(records) - 1, SHOWN).astype(int))
    some = np.argsort(targets_M, kind="stable")[some]
    rows, _ = neighbours.nearest(made_MW[some], train_NW)
    real = data.rows("train").records
    return tuple(
        {"label": data.labels[targets_M[place]], "made": dict(records[place]), "real": dict(real[row])}
        for place, row in zip(some.tolist(), rows.tolist(), strict=True)
    )


def _drawn(model: Model, targets_M: np.ndarray, seed: int) -> list[encoder.Record]:
    return encoder.of(model.assets["encoder"]).decode(generating.cells(model, targets_M, seed=seed))


def _made_alone(model: Model, data: Dataset, seed: int) -> Dataset:
    """As many made rows as there are train rows, of the same classes, beside the real rows that judge."""
    targets = data.rows("train").targets
    made, judging = _drawn(model, targets, seed + 1), data.rows("validation")
    records = [*made, *judging.records]
    columns = {name: [record[name] for record in records] for name in data.schema["tabular"]["columns"]}
    splits = ["train"] * len(made) + ["validation"] * judging.num_rows
    return arrays.table(
        columns, np.concatenate([targets, judging.targets]), data.labels, splits, duplicates="drop"
    )


def _learnt(data: Dataset, epochs: int, seed: int, session: Session) -> Model:
    one = step.by_address("pretrain.train")
    options = {**LEARNER, "epochs": epochs, "seed": seed}
    made = calling.execute(one, calling.bind(one.signature, (data,), {}), options, session)
    assert isinstance(made, Model)
    return made
