"""toy: steps of a few numbers each, in an importable module, for tests of what surrounds steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

import lichen as li
from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.digest import digest_bytes
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.scores import Scores
from lichen.core.value import Memory

SCALE = 1.0


@dataclass(frozen=True)
class Pair:
    left: Model
    right: Model


@dataclass(frozen=True)
class Learnt:
    model: Model
    memory: Dataset


def a_model(*numbers: float, **facts) -> Model:
    weights = {"w": Array.of(np.array(numbers, dtype="float64"))}
    return Model.build(net="toy:net", options={}, weights=weights, **facts)


def numbers(value: Model) -> np.ndarray:
    return value.weights()["w"].numpy()


def a_dataset(rows: bytes) -> Dataset:
    memory = Memory()
    splits = {
        name: {
            "num_rows": len(rows),
            "digest": digest_bytes(rows + name.encode()),
            "rows": {"blob": memory.put(rows)},
        }
        for name in ("train", "validation")
    }
    return Dataset(manifest={"kind": "dataset", "schema": {}, "policy": [], "splits": splits}, blobs=memory)


def total(data: Dataset) -> float:
    return float(sum(data.blobs.get(data.splits["train"]["rows"]["blob"])))


@li.step
def rows(*, seed: li.Seed = 0, length: li.Count = 4) -> Dataset:
    """Draws rows."""
    return a_dataset(bytes(np.random.default_rng(seed).integers(0, 255, length, dtype="uint8")))


@li.step
def blend(data: Dataset, other: Dataset) -> Dataset:
    """Rows of both."""
    return a_dataset(bytes([int(total(data)) % 251, int(total(other)) % 241]))


@li.step
def fit(data: Dataset, *, rate: li.Positive = 0.5, mode: str = "plain", seed: li.Seed = 0) -> Model:
    """A model of the rows."""
    return a_model(total(data) * rate * SCALE + seed, float(len(mode)))


@li.step
def tune(model: Model, data: Dataset, *, times: li.Natural = 1, notes: list[str] = []) -> Model:  # noqa: B006
    """A step from one model to the next."""
    return a_model(*(numbers(model) * (1 + times) + total(data) + len(notes)))


@li.step
def merge(model: Model, other: Model, third: Model | None = None) -> Model:
    """The sum of models."""
    return a_model(*(numbers(model) + 2 * numbers(other) + (3 * numbers(third) if third else 0)))


@li.step
def split(model: Model) -> Pair:
    """Two models of one."""
    return Pair(left=a_model(*(numbers(model) + 1)), right=a_model(*(numbers(model) - 1)))


@li.step
def learn(model: Model, data: Dataset, memory: Dataset | None = None) -> Learnt:
    """A model and what it keeps of its rows."""
    kept = int(total(data) + (total(memory) if memory else 0))
    return Learnt(model=a_model(*(numbers(model) + kept)), memory=a_dataset(bytes([kept % 256])))


@li.step
def freeze(model: Model) -> Program:
    """A program of a model."""
    return Program.build(
        format="onnx",
        files={"model.onnx": numbers(model).tobytes()},
        runtime="none",
        precision="float64",
        task="toy:net",
        num_params=2,
    )


@li.step
def weigh(model: Model | Program, data: Dataset) -> Scores:
    """Scores of a model or program."""
    return scores_of(model, data, np.array([len(model.digest) / 64.0, 0.5]))


def scores_of(value, data, outcome) -> Scores:
    mean = float(np.mean(outcome))
    return Scores.build(
        subject=value.digest,
        data=data.identity(("validation",)),
        split="validation",
        num_rows=len(outcome),
        headline="share",
        metrics={"share": {"value": mean, "low": mean, "high": mean, "level": 0.95}},
        answers={"outcome": Array.of(np.asarray(outcome, dtype="float32"))},
    )


@li.step
def heed(model: Model, scores: Scores) -> Model:
    """A model moved by its scores."""
    return a_model(*(numbers(model) + scores.value))


@li.step
def choose(data: Dataset, *, about: str | None = None, run: li.Run) -> Model:
    """Settles two things by measuring."""
    kept = run.decide("threads", _measured, about={"width": about} if about else None)
    stopped = run.decide("stopped", lambda: None, about={"width": about} if about else None)
    return a_model(float(kept["threads"]), 0.0 if stopped is None else 1.0)


MEASURED: list[int] = []


def _measured() -> dict[str, int]:
    MEASURED.append(1)
    return {"threads": len(MEASURED)}


@li.step
def waver(model: Model) -> Model:
    """Another answer every time."""
    return a_model(*(numbers(model) + time.perf_counter_ns()))


@li.step
def draw(*, seed: li.Seed = 0) -> Model:
    """A model from nothing."""
    return a_model(float(seed), 1.0)


@li.step(without={"share": 0.0})
def prune(model: Model, *, share: li.Fraction = 0.5) -> Model:
    """Shrinks a model."""
    return a_model(*(numbers(model) * (1 - share)))


@li.step
def fail(model: Model) -> Model:
    """Does not work."""
    raise ValueError("it does not work")


def net(*, in_shape, num_outputs):
    return None
