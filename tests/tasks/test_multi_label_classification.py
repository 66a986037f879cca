"""multi_label_classification: sums of binary losses, answers of several names, learnt from real photos."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import lichen as li
from lichen.core.errors import DataError
from lichen.core.session import Session, using
from lichen.tasks.multi_label_classification import TASK

SHARED = Path(os.environ.get("LICHEN_DATA", "/nonexistent"))
NAMES = ["square", "bar", "dot"]


def shapes(num=160, seed=0):
    """Pictures on which each of three things may stand, with the targets that say which."""
    draws = np.random.default_rng(seed)
    targets = draws.integers(0, 2, (num, 3))
    images = draws.integers(0, 60, (num, 3, 8, 8)).astype("uint8")
    images[targets[:, 0] == 1, :, :4, :4] += 120
    images[targets[:, 1] == 1, :, 6:, :] += 120
    images[targets[:, 2] == 1, :, 2:4, 6:] += 120
    return images, targets


def data(num=160):
    images, targets = shapes(num)
    return li.arrays(images, targets, labels=NAMES, validation=0.3)


def test_the_loss_is_the_sum_over_labels_of_torchs():
    z, y = torch.randn(5, 3), torch.randint(0, 2, (5, 3))
    theirs = functional.binary_cross_entropy_with_logits(z, y.float(), reduction="none").sum(1)
    torch.testing.assert_close(TASK.loss(z, y.to(torch.uint8)), theirs)
    scored, _ = TASK.score(z.numpy(), y.numpy().astype("uint8"))
    assert scored["log_loss"]["value"] == pytest.approx(theirs.mean().item(), rel=1e-5)


def test_outputs_far_from_even_have_a_finite_loss():
    scored, answers = TASK.score(np.array([[900.0, -900.0]]), np.array([[0, 1]], np.uint8))
    assert scored["log_loss"]["value"] == pytest.approx(1800.0)
    assert answers["confidence"].numpy()[0] == 1.0


def test_a_reply_names_every_label_and_may_name_none():
    replies = TASK.reply(np.array([[3.0, -3.0, 1.0], [-3.0, -3.0, -3.0]]), {"labels": NAMES})
    assert [reply["labels"] for reply in replies] == [["square", "dot"], []]
    assert replies[0]["label"] == "square, dot"
    assert replies[0]["top"][0] == {"label": "square", "confidence": pytest.approx(0.9526, abs=1e-4)}


def test_rows_of_one_label_each_are_refused_and_the_other_way_round():
    images, targets = shapes()
    plain = li.arrays(images, targets[:, 0], validation=0.3)
    with pytest.raises(DataError, match="one each"):
        TASK.check(plain, "train")
    with pytest.raises(DataError, match="may have several") as refusal:
        li.pretrain.train(data(), net="mlp", epochs=1)
    assert "multi_label_classification" in refusal.value.hint


@pytest.mark.parametrize("ops", [[], ["cutmix"]])
def test_it_learns_also_from_mixed_pictures_and_every_program_answers_alike(ops):
    with using(Session(store=None)):
        rows = li.augment.policy(data(), ops=ops)
        model = li.pretrain.train(
            rows, net="mlp", task=TASK.name, epochs=12, label_smoothing=0.05, optimizer="adamw", rate=0.003,
            precision="float32",
        )  # fmt: skip
        scores = li.evaluate(model, rows)
        assert scores.value > 0.9 and scores.interval[0] > 0.7
        if not ops:
            program = li.compress.quantize(model, rows, runtime="onnxruntime", max_drop=0.05)
            assert li.evaluate(program, rows).value > 0.85
            cooled = li.adapt.calibrate(model, rows)
            before, after = (li.evaluate(one, rows).answers() for one in (model, cooled))
            assert np.array_equal(before["answer"].numpy(), after["answer"].numpy())
            assert li.evaluate(cooled, rows)["log_loss"] <= scores["log_loss"] + 1e-6


@pytest.mark.skipif(not (SHARED / "coco50").is_dir(), reason="LICHEN_DATA holds no coco50")
def test_a_column_of_lists_is_read_from_real_photos():
    photos = li.load(str(SHARED / "coco50"), validation=0.3, test=0.0)
    targets = photos.rows("train").targets
    assert targets.shape == (photos.num_rows("train"), len(photos.labels)) and targets.sum(1).max() > 2
    TASK.check(photos, "train")
