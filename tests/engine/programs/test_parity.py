"""test_parity: the gate behind exports lets the model's own answers through and refuses planted defects."""

import dataclasses

import numpy as np
import pytest
import torch

from lichen.core import session
from lichen.core.array import Array
from lichen.core.errors import GateError
from lichen.data import arrays
from lichen.engine import answer
from lichen.engine.programs import executables, graph, parity
from lichen.engine.scores import intervals
from lichen.steps.pretrain.train import train


def pictures():
    """Four classes told apart by the colour and the side that is bright."""
    draws = np.random.Generator(np.random.Philox(3))
    targets = np.arange(240) % 4
    images = draws.integers(0, 60, (240, 3, 8, 8))
    for row, target in enumerate(targets):
        images[row, target % 3, :, : 4 + target] += 120
    return arrays.arrays(images.astype("uint8"), targets, labels=list("abcd"))


@pytest.fixture(scope="module")
def trained():
    data = pictures()
    with session.using(session.Session()):
        return train(data, net="cnn", epochs=6), data


@pytest.fixture(scope="module")
def reference(trained):
    return parity.Reference(*trained)


def exported(model, asked=None):
    """A Program of a model's graph that claims to be another's."""
    files = executables.files_of(model)["onnx"]
    return executables.build(asked or model, files, runtime="onnxruntime", precision="float32")


def with_assets(model, **changed):
    return dataclasses.replace(
        model, manifest={**model.manifest, "assets": {**model.assets, **changed}}, made=None
    )


def with_head(model, order):
    weights = model.weights()
    for name in ("head.weight", "head.bias"):
        weights[name] = Array.of(weights[name].numpy()[order])
    return model.with_weights(weights)


def test_the_models_own_graph_passes(trained, reference):
    assert reference.require_equal(exported(trained[0]), 1e-4) < 1e-5


@pytest.mark.parametrize(
    "defect",
    [
        lambda model: with_assets(model, mean=[0.0] * 3, std=[1.0] * 3),
        lambda model: with_assets(model, mean=model.assets["mean"][::-1], std=model.assets["std"][::-1]),
        lambda model: with_head(model, [1, 0, 2, 3]),
    ],
    ids=["normalisation left out", "channels swapped", "labels in another order"],
)
def test_a_planted_defect_is_refused_with_its_worst_row(trained, reference, defect):
    model, _ = trained
    with pytest.raises(GateError, match="rows differ by more, the worst by") as caught:
        reference.require_equal(exported(defect(model), model), 1e-4)
    assert "row" in caught.value.where and "that row: the model says" in caught.value.hint
    assert caught.value.exit_code == 1


def test_pixels_in_another_channel_order_are_refused(trained, reference):
    model, _ = trained

    class Swapped(graph.Answering):
        def forward(self, pixels):
            return super().forward(pixels.flip(1))

    from lichen.engine.task import task_of

    files = {
        "model.onnx": graph.of_module(
            Swapped(model.torch(), task_of(model.task), model.assets), np.zeros((3, 8, 8), np.uint8)
        )
    }
    with pytest.raises(GateError):
        reference.require_equal(
            executables.build(model, files, runtime="onnxruntime", precision="float32"), 1e-4
        )


def test_answers_that_are_no_numbers_are_refused(trained, reference):
    model, _ = trained
    weights = model.weights()
    weights["head.bias"] = Array.of(np.full(4, np.nan, np.float32))
    with pytest.raises(GateError):
        reference.require_equal(exported(model.with_weights(weights), model), 1e-4)


def test_a_pairing_counts_rows_and_its_interval_is_the_paired_one(trained, reference):
    model, data = trained
    worse = exported(with_head(model, [1, 0, 2, 3]), model)
    rows = parity.judging_rows(data)
    right = answer.logits(model, rows.images).argmax(1) == rows.targets
    still = answer.logits(worse, rows.images).argmax(1) == rows.targets
    pairing = reference.pair(worse)
    assert pairing.drop == pytest.approx(right.mean() - still.mean())
    difference = right.astype(float) - still
    half = (
        intervals.student_quantile(0.975, len(difference) - 1)
        * difference.std(ddof=1)
        / np.sqrt(len(difference))
    )
    assert (pairing.low, pairing.high) == pytest.approx((difference.mean() - half, difference.mean() + half))
    assert not pairing.is_within(0.01)
    with pytest.raises(GateError, match=r"accuracy may drop by 0.01 at most; .* a drop of 0\.\d+ \["):
        reference.require_close(worse, 0.01)


def test_without_validation_rows_train_rows_judge(trained):
    _, data = trained
    only = dataclasses.replace(
        data, manifest={**data.manifest, "splits": {"train": data.splits["train"]}}, made=None
    )
    assert parity.judging_rows(only).split == "train"
    assert parity.judging_rows(data).split == "validation"


def test_nothing_here_changes_torchs_threads(trained, reference):
    before = torch.get_num_threads()
    reference.pair(exported(trained[0]))
    assert torch.get_num_threads() == before
