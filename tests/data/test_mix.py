"""Mixed rows: targets say exactly what the pixels hold, and shares follow their distribution."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.session import Session, using
from lichen.data import augment, batches, draws, mix

WAYS = {"mixup": [{"mixup": 0.4}], "cutmix": [{"cutmix": 1.0}], "both": [{"mixup": 0.4}, {"cutmix": 1.0}]}
NUM_ROWS, NUM_CLASSES = 250, 250


def mixed(ops, num_rows=NUM_ROWS, side=24, seed=0):
    """Plain rows, each of a level and a class of its own, so that pixels tell whose they are."""
    policy, targets = augment.policy_of(ops), torch.arange(num_rows)
    images = (targets % 250 + 3).to(torch.uint8)[:, None, None, None].expand(num_rows, 3, side, side)
    numbers = torch.tensor(augment.numbers(policy))
    uniforms = draws.uniforms(targets * 7919, numbers, seed=seed, epoch=0).float()
    assert torch.equal(augment.apply(policy, images, uniforms), images)
    return images, *mix.apply(policy, images, targets, uniforms, num_rows)


@pytest.mark.parametrize("way", WAYS)
def test_targets_are_the_shares_of_the_pixels(way):
    images, pixels, targets = mixed(WAYS[way])
    levels = images[:, 0, 0, 0].float()
    assert torch.allclose(targets.sum(1), torch.ones(NUM_ROWS)) and targets.min() >= 0.0
    assert torch.allclose(targets @ levels, pixels.float().mean((1, 2, 3)), atol=2e-3)
    own = targets.diagonal()
    assert torch.allclose(targets.flip(1).diagonal(), 1 - own, atol=1e-6)
    assert (own < 0.95).float().mean() > 0.2 and not torch.equal(pixels, images)


def test_a_window_is_one_rectangle_of_the_other_row():
    images, pixels, _ = mixed(WAYS["cutmix"])
    assert pixels.dtype == torch.uint8
    others = images.flip(0)
    for row in range(NUM_ROWS):
        is_other = (pixels[row] == others[row]).all(0)
        assert ((pixels[row] == images[row]).all(0) | is_other).all()
        lines, columns = is_other.any(1), is_other.any(0)
        assert torch.equal(is_other, lines[:, None] & columns[None])
        for inside in (lines.int(), columns.int()):
            assert inside.diff().abs().sum() <= 2


@pytest.mark.parametrize("strength", [0.2, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(strength):
    """Mean 1/2 and variance 1 / (4 (2 a + 1))."""
    numbers = torch.tensor(augment.numbers(augment.policy_of([{"mixup": strength}])))
    uniforms = draws.uniforms(torch.arange(20_000) * 7919, numbers, seed=0, epoch=0).float()
    drawn = mix._beta(uniforms[:, 0], strength)
    assert abs(drawn.mean() - 0.5) < 0.01 and abs(drawn.var() * 4 * (2 * strength + 1) - 1) < 0.03


def test_batches_mix_alike_in_every_run_and_after_a_resume():
    draws_ = np.random.default_rng(0)
    made = batches.Batches(
        images=torch.from_numpy(draws_.integers(0, 256, (90, 3, 8, 8), dtype=np.uint8)),
        targets=torch.from_numpy(draws_.integers(0, 5, 90)), ids=torch.arange(90), batch_size=32,
        policy=augment.policy_of([{"flip": 0.5}, *WAYS["both"]]), num_classes=5,
    )  # fmt: skip
    first, again, later = list(made.epoch(2)), list(made.epoch(2)), list(made.epoch(2, 1))
    for one, other in [*zip(first, again, strict=True), *zip(first[1:], later, strict=True)]:
        assert all(torch.equal(left, right) for left, right in zip(one[:3], other[:3], strict=True))
    assert first[0][1].shape == (32, 5) and first[-1][1].shape == (26, 5)
    assert not torch.equal(first[0][0], next(iter(made.epoch(3)))[0])


def test_a_net_learns_from_mixed_rows():
    with using(Session(store=None)):
        data = li.augment.policy(li.load("digits"), ops=[{"mixup": 0.4}, {"cutmix": 1.0}])
        model = li.pretrain.train(data, net="mlp", epochs=6, precision="float32", label_smoothing=0.05)
        assert li.evaluate(model, data).value > 0.85
