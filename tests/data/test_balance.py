"""balance: every class comes, or counts, alike; an epoch is a function of (seed, epoch)."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.session import Session, using
from lichen.data import balance, batches

TARGETS = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)


def test_classes_count_alike_and_rows_one_on_average():
    weights = balance.class_weights(TARGETS, 4)
    counted = torch.bincount(TARGETS, weights[TARGETS], minlength=4)
    torch.testing.assert_close(counted[:3], torch.full((3,), 100 / 3, dtype=counted.dtype))
    assert weights[3] == 0.0 and weights[TARGETS].mean() == pytest.approx(1.0)


def test_every_class_comes_equally_often_and_every_row_of_a_rare_one():
    for epoch in range(4):
        turns = balance.turns(TARGETS, seed=3, epoch=epoch)
        rows = turns % 100
        counts = torch.bincount(TARGETS[rows])
        assert len(turns) == 100 == len(turns.unique()) and counts.max() - counts.min() <= 1
        times = torch.bincount(rows, minlength=100)
        assert set(times[90:].tolist()) <= {3, 4} and set(times[70:90].tolist()) <= {1, 2}


def test_rows_of_a_common_class_take_turns():
    seen = set()
    for epoch in range(12):
        seen |= set((balance.turns(TARGETS, seed=0, epoch=epoch) % 100).tolist())
    assert len(seen) == 100


def test_no_class_comes_first_in_an_epoch():
    firsts = [
        TARGETS[balance.turns(TARGETS, seed=s, epoch=0)[:50] % 100].bincount(minlength=3) for s in range(40)
    ]
    mean = torch.stack(firsts).float().mean(0)
    assert (mean - 50 / 3).abs().max() < 2.0


def made(**more):
    images = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(100, 1, 4, 4).contiguous()
    return batches.Batches(images=images, targets=TARGETS, ids=torch.arange(100), batch_size=32, seed=1,
                           num_classes=3, **more)  # fmt: skip


def test_batches_are_a_function_of_seed_and_epoch_also_when_entered_in_the_middle():
    whole = list(made(is_balanced=True, policy=[{"op": "rotate", "strength": 30}]).epoch(2))
    again = list(made(is_balanced=True, policy=[{"op": "rotate", "strength": 30}]).epoch(2, start=2))
    assert len(whole) == 4 and all(torch.equal(a.images, b.images) for a, b in zip(whole[2:], again))
    assert not torch.equal(whole[0].ids, next(iter(made(is_balanced=True).epoch(3))).ids)


def test_a_row_that_comes_again_is_varied_otherwise():
    noise = np.random.default_rng(0).integers(0, 255, (100, 1, 8, 8)).astype("uint8")
    rows = batches.Batches(
        images=torch.from_numpy(noise), targets=TARGETS, ids=torch.arange(100), batch_size=100,
        is_balanced=True, policy=[{"op": "shift", "strength": 0.3}],
    )  # fmt: skip
    batch = next(iter(rows.epoch(0)))
    for row in range(90, 100):
        copies = batch.images[batch.ids == row]
        assert len(copies) >= 3 and len(copies.flatten(1).unique(dim=0)) == len(copies)


def test_weights_follow_the_classes_and_mixed_rows_count_by_their_shares():
    weights = balance.class_weights(TARGETS, 3)
    for batch in made(class_weights=weights).epoch(0):
        assert torch.equal(batch.weights, weights[batch.targets])
    mixed = next(iter(made(class_weights=weights, policy=[{"op": "mixup", "strength": 0.4}]).epoch(0)))
    torch.testing.assert_close(mixed.weights, mixed.targets @ weights)


def uneven(rare=5):
    """Real digits, of which the eights are rare in train and not in validation."""
    with using(Session(store=None)):
        digits = li.load("digits", validation=0.4, test=0.0)
    train, judges = digits.rows("train"), digits.rows("validation")
    is_rare = train.targets == 8
    kept = np.concatenate([np.flatnonzero(~is_rare), np.flatnonzero(is_rare)[:rare]])
    return li.arrays(
        np.concatenate([train.images[kept], judges.images]),
        np.concatenate([train.targets[kept], judges.targets]),
        splits=["train"] * len(kept) + ["validation"] * len(judges), duplicates="drop",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["weights", "sampling"])
def test_it_helps_the_recall_of_a_rare_class(how):
    data, recalls = uneven(), {}
    with using(Session(store=None)):
        for balanced in ("none", how):
            model = li.pretrain.train(data, net="mlp", epochs=5, balance=balanced, precision="float32")
            answers = li.evaluate(model, data).answers()
            is_rare = answers["truth"].numpy() == 8
            recalls[balanced] = (answers["answer"].numpy()[is_rare] == 8).mean()
            print(recalls, li.evaluate(model, data).value)
    assert recalls[how] > recalls["none"] + 0.1


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_rows_of_several_labels_are_refused(balance):
    data = li.arrays(np.zeros((40, 1, 4, 4), "uint8") + np.arange(40, dtype="uint8")[:, None, None, None],
                     np.arange(80).reshape(40, 2) % 3 // 2, labels=["a", "b"])  # fmt: skip
    with pytest.raises(UsageError, match="one class each"):
        li.pretrain.train(data, net="mlp", task="multi_label_classification", balance=balance, epochs=1)
