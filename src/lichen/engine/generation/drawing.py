"""drawing: what a generator makes for data of pictures, or of a table: rows to keep, and numbers to judge by.

Shapes: M made rows, N real ones, C channels, H height, W width, or numbers of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.data import encoder, pictures, tabular
from lichen.data.encoder import Encoder
from lichen.engine.generation import generating
from lichen.engine.training import supervised


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures are kept and judged as pixels (M, C, H, W)."""

    generator: Model
    data: Dataset
    device: str

    @property
    def empty(self) -> np.ndarray:
        return np.zeros((0, *self.data.rows("train").shape), np.uint8)

    def drawn(self, targets_M: np.ndarray, *, seed: int, start: int, truncation: float | None) -> np.ndarray:
        """Rows to keep (M, ...)."""
        shape = self.data.rows("train").shape
        made = generating.drawn(
            self.generator, targets_M, seed=seed, start=start, truncation=truncation, device=self.device
        )
        if made.shape[1:] == shape:
            return made
        return np.stack([pictures.resize(one_CHW, shape[1]) for one_CHW in made])

    def numbers(self, made: np.ndarray) -> np.ndarray:
        """What made rows are judged by."""
        return made

    def real(self, split: str) -> np.ndarray:
        """The same of the rows of a split."""
        return supervised.pixels(self.data.rows(split), self.data.rows("train").shape)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Rows of a table are kept as bytes (M,) and judged by the numbers (M, W) of an encoder."""

    generator: Model
    data: Dataset
    device: str
    encoder: Encoder

    @property
    def empty(self) -> np.ndarray:
        return np.zeros(0, object)

    def drawn(self, targets_M: np.ndarray, *, seed: int, start: int, truncation: float | None) -> np.ndarray:
        """Rows to keep (M,)."""
        told = encoder.of(self.generator.assets["encoder"])
        x_MW = generating.cells(
            self.generator, targets_M, seed=seed, start=start, truncation=truncation, device=self.device
        )
        found = np.empty(len(x_MW), object)
        found[:] = [tabular.row(record, told.names) for record in told.decode(x_MW)]
        return found

    def numbers(self, made: np.ndarray) -> np.ndarray:
        """What made rows are judged by."""
        return self.encoder.encode([tabular.record(row) for row in made])

    def real(self, split: str) -> np.ndarray:
        """The same of the rows of a split."""
        return self.encoder.encode(self.data.rows(split).records)


def of(generator: Model, data: Dataset, classifier: Model | None, *, device: str) -> Pictures | Cells:
    """How a generator draws for data.

    Raises:
        UsageError: it makes no such rows, or the labels of a model are not the data's.
    """
    is_table = "tabular" in data.schema
    if not is_table or "encoder" not in generator.assets or "num_codes" not in generator.assets:
        generating.require_generator(generator)
    for name, model in (("generator", generator), ("classifier", classifier)):
        if model is not None and list(model.assets.get("labels", ())) != data.labels:
            raise UsageError(f"the {name}'s labels must be the data's: {', '.join(data.labels)}")
    if is_table:
        return _cells(generator, data, classifier, device)
    _check_shape(generator, data)
    return Pictures(generator, data, device)


def _cells(generator: Model, data: Dataset, classifier: Model | None, device: str) -> Cells:
    columns = data.schema["tabular"]["columns"]
    for name, model in (("generator", generator), ("classifier", classifier)):
        if model is not None and encoder.of(model.assets.get("encoder", ())).names != columns:
            raise UsageError(f"the {name}'s columns must be the data's: {', '.join(columns)}")
    told = (
        encoder.fitted(data.rows("train")) if classifier is None else encoder.of(classifier.assets["encoder"])
    )
    return Cells(generator, data, device, told)


def _check_shape(generator: Model, data: Dataset) -> None:
    channels = generator.assets["made_shape"][0]
    shape = data.rows("train").shape
    if channels != shape[0] or not shape[1] or shape[1] != shape[2]:
        raise UsageError(f"the generator makes squares of {channels} channels; the data has {shape}")
