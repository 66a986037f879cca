"""trial: a training repeated on real rows, plain and augmented, and with synthetic rows among them.

Extra rows are also extra steps, so training on the real rows is repeated a second time for as many rows in
all: every step that trains on them, a recovery too, for it is all their steps that extra rows lengthen.
Everything after the training is repeated with it; what came before is not.

Shapes: N rows of validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lichen.core import calling, guard, step
from lichen.core.dataset import Dataset
from lichen.core.errors import LeakError, NotFoundError, UsageError
from lichen.core.lineage import Call, Made
from lichen.core.replay import replay
from lichen.core.scoring import Judge
from lichen.core.session import Session
from lichen.core.value import Value
from lichen.data import augment, extension, manifest
from lichen.engine.training import supervised

EXTENSIONS = ("generate.extend", "generate.synthesize", "augment.smote")
"""Steps that add rows which nobody recorded."""
CLASSICAL = [{"crop": 0.125}, {"rotate": 10.0}]
"""Of a life without a policy: small moves, which leave the class of nearly any picture as it is."""
LONGER = 1.1
"""From so many times the rows on, the real rows are also given as many steps."""


class Way(NamedTuple):
    """What becomes of rows before they are trained on."""

    name: str
    step: str
    options: Mapping[str, Any]


PLAIN = Way("", "augment.policy", {"ops": [], "favour": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What distinguishes an arm; `epochs` are those of each training on the rows."""

    name: str
    is_synthetic: bool
    is_augmented: bool
    epochs: tuple[int, ...]


class Trial:
    """A training that can be repeated on other rows, and the real rows that say how good it was."""

    def __init__(self, made: Made, synthetic: Value | None, ops: list[Any] | None, session: Session) -> None:
        self.made, self.session = made, session
        trainings = _trainings(made.call)
        self.data = _data_of(trainings[-1], session)
        self.trainings = [one for one in trainings if _reads(one, self.data)]
        self.real = _without_synthetic(self.data, session)
        self.mixed = self._mixed(synthetic)
        _check_apart(self.mixed, self.real, session)
        self.ways = [PLAIN, *_classical(self.data, self.mixed, ops)]
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

    def arms(self) -> list[Plan]:
        epochs = tuple(one.options["epochs"] for one in self.trainings)
        places = range(len(self.ways))
        longer = {place: self._as_long(place, epochs) for place in places}
        real = [self._plan("real", place, "", epochs) for place in places]
        real += [self._plan("real", place, " for as many steps", more)
                 for place, more in longer.items() if more]  # fmt: skip
        return real + [self._plan("real and synthetic", place, "", epochs) for place in places]

    def _plan(self, rows: str, place: int, span: str, epochs: tuple[int, ...]) -> Plan:
        return Plan(name=f"{rows}{self.ways[place].name}{span}", is_synthetic=rows != "real",
                    is_augmented=place > 0, epochs=epochs)  # fmt: skip

    def _as_long(self, place: int, epochs: tuple[int, ...]) -> tuple[int, ...]:
        """Epochs of the real rows that are as many steps as with the synthetic ones; none: they are already.

        They are rounded up: the one epoch of a recovery would often stay one.
        """
        real, mixed = (self._varied(rows, place).num_rows("train") for rows in (self.real, self.mixed))
        return tuple(-(-number * mixed // real) for number in epochs) if mixed > LONGER * real else ()

    def data_of(self, arm: Plan) -> Dataset:
        return self._varied(self.mixed if arm.is_synthetic else self.real, int(arm.is_augmented))

    def _varied(self, rows: Dataset, place: int) -> Dataset:
        way = self.ways[place]
        if way.step == "augment.policy" and _policy(rows, usual=[]) == way.options:
            return rows  # they are varied so already
        return self._called(way.step, {"data": rows}, way.options)

    def outcome(self, arm: Plan, seed: int) -> np.ndarray:
        """float64 (N,): each real row's share of the headline."""
        options = {one.id: self._options(one, number)
                   for one, number in zip(self.trainings, arm.epochs, strict=True)}  # fmt: skip
        trained = replay(self.made, self.session, options=options, seed=seed,
                         instead={self.data.digest: self.data_of(arm)})  # fmt: skip
        scored = self.judge.score(trained)
        self.metric, self.num_judged = scored.scores.headline, scored.scores.num_rows
        self.sign = 1.0 if scored.scores.manifest["higher_is_better"] else -1.0
        return scored.outcome

    def _options(self, training: Call, epochs: int) -> dict[str, Any]:
        if training.options.get("batch_size", 0) is not None:
            return {"epochs": epochs}
        # The usual one grows with the rows.
        return {"epochs": epochs, "batch_size": supervised.usual_batch_size(self.real.num_rows("train"))}


def _trainings(call: Call) -> list[Call]:
    """The calls that trained a model on data, in order."""
    found = [
        one
        for one in call.history()
        if isinstance(one.options.get("epochs"), int)
        and list(one.kinds.values()) == ["model"]
        and any(ref.kind == "dataset" for ref in one.inputs.values())
    ]
    if not found:
        raise UsageError("no step of this life trains a model on data", hint="pretrain.train does")
    return found


def _reads(call: Call, data: Dataset) -> bool:
    return any(ref.digest == data.digest for ref in call.inputs.values())


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


def _classical(data: Dataset, mixed: Dataset, ops: list[Any] | None) -> list[Way]:
    """The way of classical augmentation, or none: a policy, of a table rows between real ones."""
    if "tabular" in data.schema and ops is None:
        ratios = _ratios(mixed)
        between = Way(", with rows between", "augment.smote", {"ratio": 0.0, "ratios": ratios})
        return [between] if ratios else []
    told = _policy(data) if ops is None else {"ops": ops, "favour": None}
    return [Way(", augmented", "augment.policy", told)] if told["ops"] else []


def _ratios(mixed: Dataset) -> dict[str, float]:
    """Synthetic rows to each real one by class; of none where rows between real ones are what is judged."""
    origin, targets_N = extension.provenance(mixed), mixed.rows("train").targets
    if extension.BETWEEN in origin.names:
        return {}
    real_K, made_K = (np.bincount(targets_N[some_N], minlength=len(mixed.labels)).tolist()
                      for some_N in (origin.is_real, ~origin.is_real))  # fmt: skip
    return {label: made / held for label, held, made in zip(mixed.labels, real_K, made_K, strict=True)
            if made and held > 1}  # fmt: skip


def _policy(data: Dataset, usual: list[Any] = CLASSICAL) -> dict[str, Any]:
    """The policy of data as options of `augment.policy`; what is usual where pictures have none."""
    favours = augment.favours(data.policy).values()
    if "image" not in data.schema:
        return {"ops": [], "favour": None}
    ops = [{entry["op"]: entry["strength"]} for entry in data.policy]
    return {"ops": ops or usual, "favour": next(iter(favours), None)}


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
