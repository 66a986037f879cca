"""One vector of a text is what its own tokens give, in each of the ways that encoders are read by."""

import pytest
import torch

from lichen.core.errors import OptionError
from lichen.layers import pooling

X = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0)) - 2  # mostly below zero
LENGTHS = torch.tensor([6, 2, 1, 0])
IS_TOLD = torch.arange(6) < LENGTHS[:, None]

ALONE = {
    "mean": lambda x: x.mean(0),
    "cls": lambda x: x[0],
    "last": lambda x: x[-1],
    "max": lambda x: x.max(0).values,
}


@pytest.mark.parametrize("kind", pooling.KINDS)
def test_it_is_that_of_the_text_alone(kind):
    found = pooling.pooled(X, IS_TOLD, kind)
    for row, length in enumerate(LENGTHS.tolist()[:3]):
        torch.testing.assert_close(found[row], ALONE[kind](X[row, :length]))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("kind", pooling.KINDS)
def test_what_fills_a_text_up_does_not_change_it(kind):
    changed = torch.where(IS_TOLD[..., None], X, 99.0)
    found, again = (pooling.pooled(x, IS_TOLD, kind) for x in (X, changed))
    torch.testing.assert_close(found[:3], again[:3])


def test_what_is_unknown_is_named():
    with pytest.raises(OptionError, match="one of mean, cls, last, max, not clss(.|\n)*`cls`"):
        pooling.require_known("clss")
