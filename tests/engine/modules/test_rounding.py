"""Rounded matrices come back as near as their bits allow, and nearer where it is known what is read."""

import numpy as np
import pytest
import torch

from lichen.engine.modules import rounding


def read(num_inputs=96, seed=0):
    """Rows whose numbers go together, as those that a layer reads do."""
    torch.manual_seed(seed)
    return torch.randn(2000, 12) @ torch.randn(12, num_inputs) + 0.1 * torch.randn(2000, num_inputs)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [16, 64])
def test_no_number_is_farther_off_than_half_a_step_of_its_group(bits, group):
    torch.manual_seed(1)
    matrix = torch.randn(24, 128)
    found = rounding.nearest(matrix, bits, group)
    steps_NJ = found.scales_NJ[..., None].repeat(group, -1).reshape(24, 128)
    low, high = -found.zeros_NJ.astype(float), 2**bits - 1 - found.zeros_NJ.astype(float)
    ends = [np.repeat(one * found.scales_NJ, group, 1).reshape(24, 128) for one in (low, high)]
    held = np.clip(matrix.numpy(), *ends)
    assert np.abs(found.whole() - held).max() <= 0.5 * steps_NJ.max() + 1e-6


@pytest.mark.parametrize(("power", "less"), [(1, 0.9), (3, 0.96)])
def test_a_scale_that_was_searched_for_leaves_less_error_than_the_range(monkeypatch, power, less):
    """In no group more. Four bits do best on normal numbers cut off at 2.5 deviations (Banner et al. 2019),
    of 256 the farthest lies at 2.8; the farthest of cubes of them are worth nearly their whole range."""
    torch.manual_seed(2)
    matrix = torch.randn(64, 256) ** power

    def error():
        found = torch.from_numpy(rounding.nearest(matrix, 4, 256).whole())
        return (found - matrix).square().sum(1).numpy()

    searched = error()
    monkeypatch.setattr(rounding, "SHRINKS", (1.0,))
    whole = error()
    assert (searched <= whole * (1 + 1e-6)).all() and searched.sum() < less * whole.sum()


def test_what_a_layer_answers_changes_less_by_columns_in_turn():
    torch.manual_seed(3)
    x, matrix = read(), torch.randn(40, 96)
    made = rounding.nearest(matrix, 4, 32), rounding.against(matrix, x.T @ x, 4, 32)
    errors = [float((x @ (torch.from_numpy(one.whole())[:, :96] - matrix).T).square().mean()) for one in made]
    assert errors[1] < 0.5 * errors[0]


def test_columns_in_turn_without_anything_read_are_each_by_itself():
    torch.manual_seed(4)
    matrix = torch.randn(8, 64)
    plain, found = rounding.nearest(matrix, 4, 32), rounding.against(matrix, torch.eye(64), 4, 32)
    np.testing.assert_array_equal(found.numbers_NK, plain.numbers_NK)
    np.testing.assert_allclose(found.whole(), plain.whole(), rtol=1e-6)


def test_two_numbers_of_four_bits_lie_in_a_byte_and_groups_are_filled_up():
    found = rounding.nearest(torch.randn(5, 40), 4, 32)
    assert found.packed.shape == (5, 2, 16) and found.packed_zeros.shape == (5, 1)
    low, high = found.packed & 15, found.packed >> 4
    np.testing.assert_array_equal(np.stack([low, high], -1).reshape(5, 64), found.numbers_NK)


def test_a_group_of_nothing_stays_nothing():
    assert not rounding.nearest(torch.zeros(2, 32), 4, 16).whole().any()
