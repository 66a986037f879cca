"""Batches are a function of seed and epoch, whatever the batch size, the start, the rank or the path."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lichen.data import arrays, augment, batches


def made(**changes):
    images = torch.arange(53, dtype=torch.uint8)[:, None, None, None].expand(53, 1, 2, 2).contiguous()
    options = {"batch_size": 8, "seed": 1, **changes}
    return batches.Batches(images=images, targets=torch.arange(53), ids=torch.arange(53) * 31, **options)


def numbers(found):
    return [batch.targets.tolist() for batch in found]


def test_an_epoch_holds_every_row_once_with_its_picture():
    seen = []
    for images, targets, ids, _ in made().epoch(0):
        assert torch.equal(images[:, 0, 0, 0].long(), targets) and torch.equal(ids, targets * 31)
        seen += targets.tolist()
    assert sorted(seen) == list(range(53)) and seen != sorted(seen)


def test_a_resumed_epoch_is_the_rest_of_it():
    assert numbers(made().epoch(3, start=4)) == numbers(made().epoch(3))[4:]


def test_epochs_and_seeds_differ_and_repeat():
    first = numbers(made().epoch(0))
    assert first == numbers(made().epoch(0))
    assert first != numbers(made().epoch(1)) and first != numbers(made(seed=2).epoch(0))


def test_order_does_not_depend_on_the_batch_size():
    small, large = made(batch_size=5).epoch(0), made(batch_size=20).epoch(0)
    assert torch.equal(torch.cat([one.targets for one in small]), torch.cat([one.targets for one in large]))


def test_ranks_share_each_batch():
    whole, first, second = made(), made(rank=0, world=2), made(rank=1, world=2)
    for every, one, two in zip(
        numbers(whole.epoch(0)), numbers(first.epoch(0)), numbers(second.epoch(0)), strict=True
    ):
        assert every[::2] == one and every[1::2] == two


def test_only_training_may_drop_the_last_batch():
    assert made().steps_per_epoch == 7 and made(drops_last=True).steps_per_epoch == 6
    assert len(numbers(made(drops_last=True).epoch(0))) == 6
    assert made(drops_last=True, batch_size=100).steps_per_epoch == 1


def test_streamed_batches_equal_resident_ones(monkeypatch):
    data = arrays.arrays(torch.randint(0, 255, (90, 3, 6, 6), dtype=torch.uint8), torch.arange(90) % 4)
    resident = batches.of(data.rows("train"), batch_size=16, seed=5)
    monkeypatch.setattr("lichen.data.stored.RESIDENT_BYTES", 10)
    streamed = batches.of(data.rows("train"), batch_size=16, seed=5)
    assert isinstance(resident.images, torch.Tensor) and not isinstance(streamed.images, torch.Tensor)
    for one, two in zip(resident.epoch(1, start=1), streamed.epoch(1, start=1), strict=True):
        assert all(torch.equal(left, right) for left, right in zip(one[:3], two[:3], strict=True))


def test_augmentation_of_a_row_does_not_depend_on_its_batch():
    images = torch.randint(0, 256, (53, 1, 6, 6), dtype=torch.uint8)
    policy = augment.policy_of([{"shift": 0.3}, {"colour": 0.2}, {"cutout": 0.3}])
    small = {
        int(i): x
        for batch, _, ids, _ in replace(made(policy=policy, batch_size=3), images=images).epoch(2)
        for x, i in zip(batch, ids)
    }
    for batch, _, ids, _ in replace(made(policy=policy, batch_size=32), images=images).epoch(2):
        assert all(torch.equal(small[int(i)], x) for x, i in zip(batch, ids, strict=True))


def of_lengths(num_rows=700, batch_size=16, **more):
    lengths = np.random.default_rng(0).integers(1, 200, num_rows)
    return lengths, batches.Batches(
        images=torch.arange(num_rows)[:, None], targets=torch.zeros(num_rows, dtype=torch.int64),
        ids=torch.arange(num_rows), batch_size=batch_size, lengths=torch.from_numpy(lengths), **more,
    )  # fmt: skip


@pytest.mark.parametrize("is_shuffled", [True, False])
def test_rows_of_like_length_come_together_and_each_once(is_shuffled):
    lengths, made = of_lengths(is_shuffled=is_shuffled)
    parts = [batch.images[:, 0].numpy() for batch in made.epoch(3)]
    assert [len(part) for part in parts] == [16] * 43 + [12]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(700))
    widest = [lengths[part].max() - lengths[part].min() for part in parts[:-1]]
    assert np.mean(widest) < 20  # by chance 176


def test_batches_of_like_length_come_in_another_order_each_epoch_and_go_on_in_the_middle():
    lengths, made = of_lengths()
    order = made.order(0)
    assert torch.equal(order, made.order(0)) and not torch.equal(order, made.order(1))
    means = [lengths[part].mean() for part in order[: 43 * 16].view(43, 16).numpy()]
    assert abs(np.corrcoef(means, np.arange(43))[0, 1]) < 0.5  # not from short to long
    rest = [batch.images[:, 0] for batch in made.epoch(0, 40)]
    assert torch.equal(torch.cat(rest), order[40 * 16 :])
