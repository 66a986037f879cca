"""A planted collapse is told; a training that goes well is not stopped."""

import pytest
import torch

from lichen.core.errors import DivergedError
from lichen.engine.generation import collapse


def looks(*pairs):
    return [
        {"epoch": number, "feature_rank": rank, "discriminator_accuracy": accuracy}
        for number, (rank, accuracy) in enumerate(pairs)
    ]


def test_the_effective_rank_of_equal_directions_is_their_number():
    assert collapse.effective_rank(torch.full((7,), 3.0)) == pytest.approx(7.0)
    assert collapse.effective_rank(torch.tensor([5.0, 1e-9, 0.0]), 1e-6) == pytest.approx(1.0)
    assert collapse.effective_rank(torch.zeros(3)) == 0.0


def test_one_picture_per_class_is_a_collapse_though_classes_differ():
    draws, y = torch.Generator().manual_seed(0), torch.arange(60) % 10
    real, means = torch.randn(60, 30, generator=draws), 9 * torch.randn(10, 30, generator=draws)
    assert collapse.rank_share(real, means[y] + 1e-5 * real, y) == 0.0
    assert collapse.rank_share(real, means[y] + torch.randn(60, 30, generator=draws), y) > 0.9
    line = means[y] + torch.randn(60, 1, generator=draws) * torch.ones(30)
    assert collapse.rank_share(real, line, y) < collapse.FLAT
    with pytest.raises(DivergedError, match="infinite"):
        collapse.rank_share(real, real / 0.0, y)


def test_a_look_has_several_rows_of_a_few_classes_and_of_all_in_turn():
    y, seen = torch.arange(64 * 8) % 64, set()
    for step in range(120):
        rows = collapse.looked(y, seed=0, step=step)
        assert len(rows) == len(set(rows.tolist())) == collapse.NUM_LOOKED
        assert y[rows].unique(return_counts=True)[1].tolist() == [8] * collapse.FEW
        seen |= set(y[rows].tolist())
    assert len(seen) == 64
    rare = torch.tensor([5] * 40 + [2] * 30 + list(range(6, 30)))  # alone, a row says nothing of its class
    assert set(rare[collapse.looked(rare, seed=0, step=1)].tolist()) > {2, 5}


def test_accuracy_is_that_of_pairs():
    assert collapse.accuracy(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])) == pytest.approx(3.5 / 4)


def test_a_collapse_is_told_once_it_lasts_and_is_not_of_the_first_looks():
    flat = looks((0.5, 0.8), (0.05, 0.9), (0.02, 0.9), (0.03, 0.9))
    with pytest.raises(DivergedError, match=r"collapsed: at epoch 3 .* 0.050, 0.020, 0.030"):
        collapse.check(flat, done=0.5, dies=False)
    collapse.check(flat, done=0.05, dies=False)
    collapse.check(flat[:3], done=0.5, dies=False)
    collapse.check([*flat, *looks((0.4, 0.9))], done=0.5, dies=False)


def test_a_discriminator_that_is_always_right_ends_only_what_cannot_learn_from_it():
    won = looks((0.5, 1.0), (0.5, 1.0), (0.6, 1.0))
    collapse.check(won, done=0.5, dies=False)
    with pytest.raises(DivergedError, match="always right"):
        collapse.check(won, done=0.5, dies=True)
