"""worth_of_synthetic: train with and without synthetic rows, and take them only when they win on real rows.

The training behind a model is repeated on the real rows, plain and augmented, and on real and synthetic rows
together, plain and augmented. Extra rows are also extra steps, so training on the real rows is repeated a
second time for as many rows in all. Synthetic rows win when one of their arms beats every arm without them:
each pair has an interval over validation rows and seeds, at a level that allows for their having two tries.
A mean over arms would let them win by being compared with a weak one.

Shapes: S seeds, N rows of validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np

from lichen.core import calling, guard, step
from lichen.core.dataset import Dataset
from lichen.core.errors import LeakError, NotFoundError, UsageError
from lichen.core.lineage import Call, Made
from lichen.core.replay import replay
from lichen.core.schema import Count, Table
from lichen.core.scoring import Judge
from lichen.core.session import Session, current
from lichen.core.value import Value
from lichen.data import extension, manifest
from lichen.engine import intervals, supervised

EXTENSIONS = ("generate.extend", "generate.synthesize")
"""Steps that add synthetic rows."""
CLASSICAL = [{"crop": 0.125}, {"rotate": 10.0}]
"""Of a life without a policy: small moves, which leave the class of nearly any picture as it is."""
LONGER = 1.1
"""From so many times the rows on, the real rows are also given as many steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to train, and the headline on validation, averaged over seeds."""

    name: str
    is_synthetic: bool
    num_rows: int
    epochs: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What synthetic rows were worth against the best that real rows can do without them.

    `worth`, `low` and `high` compare the better arm with synthetic rows to the arm that it beats least.
    """

    metric: str
    arms: tuple[Arm, ...]
    best: str
    rival: str
    worth: float
    low: float
    high: float
    level: float
    num_rows: int
    num_seeds: int
    num_synthetic: int
    data: Dataset
    """What to train on: with the synthetic rows where they are accepted, else the real data as they were."""

    @property
    def is_accepted(self) -> bool:
        return self.low > 0

    @property
    def says_no(self) -> bool:
        return not self.is_accepted

    @property
    def verdict(self) -> str:
        return "accepted" if self.is_accepted else "harms" if self.high < 0 else "no measurable effect"

    def as_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("arms", "data")}
        arms = [asdict(arm) for arm in self.arms]
        return {**plain, "arms": arms, "verdict": self.verdict, "data": self.data.digest}

    def __str__(self) -> str:
        lines = [
            f"  {arm.value:.4f}  {arm.name}, {arm.num_rows} rows, {arm.epochs} epochs" for arm in self.arms
        ]
        said = "are used" if self.is_accepted else "are not used: the real data are returned"
        return "\n".join([
            f"{self.metric} on {self.num_rows} real rows of validation, {self.num_seeds} seeds",
            *lines,
            f"{self.best} against {self.rival}: {self.worth:+.4f} [{self.low:+.4f}, {self.high:+.4f}] "
            f"at {self.level:.0%}: {self.verdict}; the {self.num_synthetic} synthetic rows {said}",
            f"data {self.data.digest[:10]}",
        ])  # fmt: skip


def worth_of_synthetic(
    value: Value,
    synthetic: Value | None = None,
    *,
    ops: Annotated[list, Table("lichen.data.augment:OPERATIONS")] | None = None,
    seeds: Count = 5,
    level: float = 0.95,
) -> Worth:
    """Says whether synthetic rows make a training better than real rows and classical augmentation do.

    Args:
        value: a Model or Program whose life trained on data; all from that training on is repeated.
        synthetic: Dataset of synthetic rows, or the data that some were added to; None: the life added them.
        ops: the classical augmentation; None: the life's own policy, or small moves where it has none.
        seeds: master seeds of the trainings; the generator stays as it is.
        level: of the interval, from 0 to 1.

    Raises:
        UsageError: there is no training to repeat, or there are no synthetic rows.
        LeakError: rows to be judged by stand in what the synthetic rows were learnt from.
    """
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is no training to repeat")
    trial = _Trial(value.made, synthetic, ops, current())
    arms = trial.arms()
    outcomes = {arm: np.stack([trial.outcome(arm, seed) for seed in range(seeds)]) for arm in arms}
    best, rival, worth, low, high = _best(outcomes, trial.sign, level)
    return Worth(
        metric=trial.metric, best=best.name, rival=rival.name, worth=worth, low=low, high=high, level=level,
        num_rows=trial.num_judged, num_seeds=seeds, num_synthetic=trial.mixed.num_synthetic,
        data=trial.mixed if low > 0 else trial.real,
        arms=tuple(Arm(name=arm.name, is_synthetic=arm.is_synthetic, epochs=arm.epochs,
                       num_rows=trial.data_of(arm).num_rows("train"), value=float(outcome_SN.mean()))
                   for arm, outcome_SN in outcomes.items()),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What distinguishes an arm."""

    name: str
    is_synthetic: bool
    is_augmented: bool
    epochs: int


def _best(
    outcomes: Mapping[_Plan, np.ndarray], sign: float, level: float
) -> tuple[_Plan, _Plan, float, float, float]:
    """The arm with synthetic rows whose least win is greatest, its rival, and the interval between them."""
    ours = [arm for arm in outcomes if arm.is_synthetic]
    shared = 1.0 - (1.0 - level) / len(ours)  # Bonferroni's: either of them may win by chance
    found = []
    for arm in ours:
        pairs = [(*intervals.of(sign * (outcomes[arm] - outcomes[other]), shared), other)
                 for other in outcomes if not other.is_synthetic]  # fmt: skip
        worth, low, high, rival = min(pairs, key=lambda pair: pair[1])
        found.append((arm, rival, worth, low, high))
    return max(found, key=lambda pair: pair[3])


class _Trial:
    """A training that can be repeated on other rows, and the real rows that say how good it was."""

    def __init__(self, made: Made, synthetic: Value | None, ops: list[Any] | None, session: Session) -> None:
        self.made, self.session = made, session
        self.training = _training(made.call)
        self.data = _data_of(self.training, session)
        self.real = _without_synthetic(self.data, session)
        self.mixed = self._mixed(synthetic)
        _check_apart(self.mixed, self.real, session)
        self.ops = _policy(self.data) or CLASSICAL if ops is None else ops
        self.judge = Judge(session, self.real)
        self.metric, self.sign, self.num_judged = "", 1.0, 0

    def _mixed(self, synthetic: Value | None) -> Dataset:
        """The data with synthetic rows."""
        if synthetic is None:
            if not self.data.num_synthetic:
                raise UsageError(
                    "this life has no synthetic rows to judge",
                    hint="give some: worth_of_synthetic(model, data with synthetic rows)",
                )
            return self.data
        if not isinstance(synthetic, Dataset):
            raise UsageError(f"synthetic rows are a Dataset, not {synthetic!r}")
        if not synthetic.num_synthetic:
            return self._called("generate.extend", {"data": self.real, "synthetic": synthetic}, {})
        is_real_N = extension.provenance(synthetic).is_real
        if set(manifest.ids(synthetic, "train")[is_real_N]) != set(manifest.ids(self.real, "train")):
            raise UsageError(
                "the real rows beside the synthetic ones must be those that the model was trained on",
                hint="generate.extend(data, synthetic), with the data of the training",
            )
        return synthetic

    def _called(self, address: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Dataset:
        made = calling.execute(step.by_address(address), values, options, self.session)
        assert isinstance(made, Dataset)
        return made

    def arms(self) -> list[_Plan]:
        epochs = self.training.options["epochs"]
        more = self.mixed.num_rows("train") / self.real.num_rows("train")
        as_long = max(epochs, round(epochs * more))
        spans = [("", epochs)] + ([(" for as many steps", as_long)] if as_long > LONGER * epochs else [])
        real = [_Plan(name=f"{what}{span}", is_synthetic=False, is_augmented=what != "real", epochs=number)
                for span, number in spans for what in ("real", "real, augmented")]  # fmt: skip
        return real + [
            _Plan(name="real and synthetic", is_synthetic=True, is_augmented=False, epochs=epochs),
            _Plan(name="real and synthetic, augmented", is_synthetic=True, is_augmented=True, epochs=epochs),
        ]

    def data_of(self, arm: _Plan) -> Dataset:
        rows = self.mixed if arm.is_synthetic else self.real
        return self._called("augment.policy", {"data": rows}, {"ops": self.ops if arm.is_augmented else []})

    def outcome(self, arm: _Plan, seed: int) -> np.ndarray:
        """float64 (N,): each real row's share of the headline."""
        options: dict[str, Any] = {"epochs": arm.epochs}
        if self.training.options.get("batch_size", 0) is None:  # the usual one grows with the rows
            options["batch_size"] = supervised.usual_batch_size(self.real.num_rows("train"))
        trained = replay(self.made, self.session, options={self.training.id: options}, seed=seed,
                         instead={self.data.digest: self.data_of(arm)})  # fmt: skip
        scored = self.judge.score(trained)
        self.metric, self.num_judged = scored.scores.headline, scored.scores.num_rows
        self.sign = 1.0 if scored.scores.manifest["higher_is_better"] else -1.0
        return scored.outcome


def _training(call: Call) -> Call:
    """The last call that trained a model on data."""
    found = [
        one
        for one in call.history()
        if isinstance(one.options.get("epochs"), int)
        and list(one.kinds.values()) == ["model"]
        and any(ref.kind == "dataset" for ref in one.inputs.values())
    ]
    if not found:
        raise UsageError("no step of this life trains a model on data", hint="pretrain.train does")
    return found[-1]


def _data_of(training: Call, session: Session) -> Dataset:
    ref = next(ref for ref in training.inputs.values() if ref.kind == "dataset")
    if session.store is None:
        raise UsageError(
            "trainings are repeated from a store; there is none", hint="lichen init, or li.opened()"
        )
    data = session.store.value(ref.digest, ref.made)
    assert isinstance(data, Dataset)
    return data


def _without_synthetic(data: Dataset, session: Session) -> Dataset:
    """The real data behind some: the same life without the steps that added rows."""
    if not data.num_synthetic or data.made is None:
        return data
    added = {call.id for call in data.made.call.history() if call.step in EXTENSIONS}
    real = replay(data.made, session, without=added)
    assert isinstance(real, Dataset) and not real.num_synthetic
    return real


def _policy(data: Dataset) -> list[dict[str, float]]:
    """The operations of a policy as `augment.policy` takes them."""
    return [{entry["op"]: entry["strength"]} for entry in data.policy]


def _check_apart(mixed: Dataset, real: Dataset, session: Session) -> None:
    """Refuses synthetic rows of a generator that has seen the rows that judge."""
    if guard.keeps_duplicates(real) or not real.num_rows("validation"):
        return
    calls = mixed.made.call.history() if mixed.made else []
    assert session.store is not None
    learnt = {ref.digest for call in calls if "train" in call.read for ref in call.inputs.values()
              if ref.kind == "dataset"}  # fmt: skip
    for digest in sorted(learnt):
        try:
            data = session.store.value(digest)
        except NotFoundError:  # collected
            continue
        assert isinstance(data, Dataset)
        num_rows = manifest.num_common(real, "validation", data, "train") if data.num_rows("train") else 0
        if num_rows:
            raise LeakError(
                f"{num_rows} rows of validation stand in what the synthetic rows were learnt from",
                where=f"dataset {digest[:10]}", hint="train the generator on train rows alone",
            )  # fmt: skip
