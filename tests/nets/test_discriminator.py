"""One answer per class, of pictures of any sides, from features that the head alone tells apart."""

import pytest
import torch

from lichen.nets import discriminator


def build(shape=(1, 28, 28), num_outputs=3, width=4):
    torch.manual_seed(0)
    return discriminator.build(in_shape=shape, num_outputs=num_outputs, width=width)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 8, 12), (1, 5, 5)])
def test_pictures_of_any_sides_are_answered_for_every_class(shape):
    judge, x = build(shape), torch.randn(4, *shape)
    assert judge(x).shape == (4, 3)
    torch.testing.assert_close(judge.head(judge.features(x)), judge(x))


def test_an_answer_is_the_product_with_a_vector_of_all_and_one_of_the_class():
    """Miyato and Koyama 2018, equation 3: f(x) = psi(phi(x)) + y' V phi(x)."""
    judge, x = build(), torch.randn(5, 1, 28, 28)
    phi, head = judge.features(x), judge.head
    psi = phi @ head.shared.weight[0] + head.shared.bias
    for number in range(3):
        torch.testing.assert_close(judge(x)[:, number], psi + phi @ head.own.weight[number])


def test_a_row_is_judged_by_itself():
    """No norm over the batch, so gradient penalties are of single pictures."""
    judge, x = build(), torch.randn(6, 1, 28, 28)
    torch.testing.assert_close(judge(x)[:2], judge(x[:2]))
