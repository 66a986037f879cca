"""test_muon: directions are orthogonal, in the gradient's own frame, whatever its length and shape."""

import pytest
import torch

from lichen.engine.training import muon


def gradient(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape):
    start, found = gradient(*shape), muon.orthogonal(gradient(*shape))
    left, _, right = torch.linalg.svd(start, full_matrices=False)
    values = torch.diagonal(left.T @ found @ right.T)
    assert values.min() > 0.6 and values.max() < 1.25
    torch.testing.assert_close(left @ torch.diag(values) @ right, found, rtol=0, atol=2e-3)


def test_the_length_of_a_gradient_does_not_matter():
    start = gradient(5, 9)
    torch.testing.assert_close(muon.orthogonal(1000 * start), muon.orthogonal(start), rtol=1e-3, atol=1e-4)


def test_a_filter_is_a_matrix_of_outputs_by_inputs():
    start = gradient(6, 2, 3, 3)
    assert torch.equal(muon.direction(start), muon.orthogonal(start.flatten(1)).view_as(start))


def test_more_outputs_than_inputs_go_further():
    start = gradient(32, 2)
    torch.testing.assert_close(muon.direction(start), 4 * muon.orthogonal(start))


def test_no_gradient_no_direction():
    assert muon.direction(torch.zeros(4, 4)).abs().max() == 0
