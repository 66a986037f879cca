"""fidelity: how good a generator's pictures are: near the real ones, varied, of their class, and new.

Real rows are those of validation, which the generator has not seen. All figures are in the features of one
classifier and say nothing about figures by another; FID also depends on the number of rows. Where the weights
lie at hand that published figures are of, there are figures by these, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core import calling, step
from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.schema import Count, Positive, Seed
from lichen.core.scoring import data_of
from lichen.core.session import Session, current
from lichen.core.value import Value
from lichen.data import png
from lichen.engine import answer
from lichen.engine.generation import fidelity as measure
from lichen.engine.generation import generating, kernels, memorization, sheets
from lichen.engine.generation import inception as known
from lichen.engine.modules import backend
from lichen.engine.scores import metrics
from lichen.engine.scores.metrics import Figure
from lichen.engine.training import supervised

JUDGE = {"net": "cnn", "optimizer": "adam", "batch_size": 128}
"""How the classifier is trained where none is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Figures of made pictures, each `{"value", "low", "high", "level"}`.

    `agreement` is the share that the classifier tells as the class they were made as; `noise_kid` is what
    pictures of noise get; `pictures` are PNG files as data URIs: samples, interpolation, nearest.
    """

    figures: Mapping[str, Figure]
    agreement: Figure
    accuracy: float
    """Of the classifier on the real rows."""
    noise_kid: float
    copying: Figure
    copies: bool
    judge: str
    num_rows: int
    pictures: Mapping[str, str]
    inception: Mapping[str, Figure] | None = None
    """Figures in the features of FID's own net, where its weights were found."""

    @property
    def times_noise(self) -> float:
        """How many times nearer than noise the pictures are, by KID, which may be all but 0."""
        kid = self.figures["kid"]
        return self.noise_kid / max(kid["value"], kid["high"] - kid["value"])

    @property
    def says_no(self) -> bool:
        return self.copies

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "times_noise": self.times_noise}

    def __str__(self) -> str:
        known = {f"{name} (inception)": one for name, one in (self.inception or {}).items()}
        rows = {**self.figures, **known, "class agreement": self.agreement, "copying": self.copying}
        lines = [
            f"  {name:21s} {one['value']:.4f}  [{one['low']:.4f}, {one['high']:.4f}]"
            for name, one in rows.items()
        ]
        said = "copies train rows" if self.copies else "no sign of copied train rows"
        return "\n".join([
            f"{self.num_rows} made pictures beside as many real ones of validation, by {self.judge[:10]} "
            f"(accuracy {self.accuracy:.4f})",
            *lines,
            f"KID of noise {self.noise_kid:.4f}: {self.times_noise:.0f} times as far; {said}",
        ])  # fmt: skip


def fidelity(
    value: Value,
    by: Value | None = None,
    *,
    num_rows: Count = 1000,
    truncation: Positive | None = None,
    epochs: Count = 5,
    inception: bool | None = None,
    seed: Seed = 0,
) -> Fidelity:
    """Compares what a generator draws with validation rows.

    Args:
        value: a generator made by `generate.gan`.
        by: the classifier whose features count; None: a small one is trained on the train rows.
        num_rows: of each side; as many as validation has where it has fewer.
        truncation: of the codes.
        epochs: of that classifier.
        inception: whether FID's own net judges, too; None: where pytorch-fid's file of weights lies in
            torch's cache or in $LICHEN_DATA/pretrained. It takes minutes on a CPU, and figures by few rows
            are larger than published ones by 50 000.

    Raises:
        UsageError: the value is no generator, or its life has no data.
        DataError: validation has too few rows, or the weights are other ones.
        NotFoundError: Inception is asked for, and its weights are not there.
    """
    if not isinstance(value, Model) or value.made is None:
        raise UsageError(f"{value!r} is no generator that recorded steps made")
    generating.require_generator(value)
    session = current()
    data = data_of(value, None, session)
    assert isinstance(data, Dataset)
    judge = _judge(data, epochs, seed, session) if by is None else by
    if not isinstance(judge, Model):
        raise UsageError(f"features are those of a Model, not of {judge!r}")
    weights = known.require() if inception else known.find() if inception is None else None
    return _measured(value, judge, data, num_rows, truncation, seed, weights)


def _judge(data: Dataset, epochs: int, seed: int, session: Session) -> Model:
    """A small classifier of the train rows as they are."""
    plain = _called("augment.policy", data, {"ops": []}, session) if data.policy else data
    judge = _called("pretrain.train", plain, {**JUDGE, "epochs": epochs, "seed": seed}, session)
    assert isinstance(judge, Model)
    return judge


def _called(address: str, data: Value, options: Mapping[str, Any], session: Session) -> Value:
    one = step.by_address(address)
    made = calling.execute(one, calling.bind(one.signature, (data,), {}), options, session)
    assert isinstance(made, Value)
    return made


def _measured(
    model: Model, judge: Model, data: Dataset, num_rows: int, truncation: float | None, seed: int,
    weights: Path | None,
) -> Fidelity:  # fmt: skip
    shape = model.assets["made_shape"]
    validation = data.rows("validation")
    chosen = supervised.judged_rows(validation, num_rows)
    held, train = (supervised.pixels(rows, shape) for rows in (validation, data.rows("train")))
    real, targets = held[chosen], validation.targets[chosen]
    made = generating.drawn(model, targets, seed=seed, truncation=truncation)
    noise = np.random.Generator(np.random.Philox(seed)).integers(0, 256, real.shape, dtype=np.uint8)
    held_HF, made_MF, noise_MF, train_NF = (measure.features(judge, x) for x in (held, made, noise, train))
    real_MF = held_HF[chosen]
    figures = measure.figures(real_MF, made_MF)
    memory = memorization.asked(train_NF, held_HF, made_MF)
    said, right = (answer.logits(judge, x).argmax(1) == targets for x in (made, real))
    return Fidelity(
        figures=figures, agreement=metrics.proportion(int(said.sum()), len(said)),
        accuracy=float(right.mean()), noise_kid=kernels.distance(real_MF, noise_MF), copying=memory.area,
        copies=memory.is_flagged, judge=judge.digest, num_rows=len(made),
        pictures=_pictures(model, made, train[memory.nearest], seed),
        inception=_by_inception(weights, real, made) if weights else None,
    )  # fmt: skip


def _by_inception(weights: Path, real: np.ndarray, made: np.ndarray) -> dict[str, Figure]:
    net = known.net(weights)
    return measure.figures(known.features(net, real), known.features(net, made))


def _pictures(model: Model, made: np.ndarray, nearest: np.ndarray, seed: int) -> dict[str, str]:
    labels, length = model.assets["labels"], model.assets["num_codes"]
    module = backend.module_of(model)
    return {
        "samples": png.data_uri(sheets.samples(module, length, len(labels), seed=seed)),
        "interpolation": png.data_uri(sheets.interpolation(model, seed=seed)),
        "nearest": png.data_uri(sheets.beside(made[: 2 * sheets.NUM_STEPS], nearest[: 2 * sheets.NUM_STEPS])),
    }
