"""favour: wide operations drawn more or less often than alike, and the weights that keep the expected loss.

Where all K operations are meant alike, p = 1 / K, and operation i is drawn with probability q_i instead, a
row that drew it counts p / q_i in the loss: the expectation over the draws stays as it was, for any q > 0.
Source: importance sampling, Owen 2013, "Monte Carlo theory, methods and examples", chapter 9.

Shapes: B rows, K operations of `wide.NAMES`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lichen.core.errors import OptionError, nearest
from lichen.data import wide


def check(favour: Mapping[str, object]) -> dict[str, float]:
    """How many times its equal share each operation is to be drawn; what is not named: once.

    Raises:
        OptionError: no such operation, or a number that is not above 0.
    """
    for name, times in favour.items():
        if name not in wide.NAMES:
            raise OptionError(
                f"unknown operation `{name}` in option `favour`", hint=nearest(name, wide.NAMES)
            )
        if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times < float("inf"):
            raise OptionError(
                f"`{name}` in option `favour` must be a number above 0, not {times!r}",
                hint="an operation that is never drawn cannot be weighted back in",
            )
    return {name: float(times) for name, times in favour.items()}  # type: ignore[arg-type]


def probabilities(favour: Mapping[str, float]) -> Tensor:
    """float64 (K,): how often each operation is drawn."""
    times_K = torch.tensor([favour.get(name, 1.0) for name in wide.NAMES], dtype=torch.float64)
    return times_K / times_K.sum()


def chosen(uniform_B: Tensor, favour: Mapping[str, float] | None) -> Tensor:
    """int64 (B,): the operation that each row draws, from a draw in [0, 1)."""
    if not favour:
        return (uniform_B * len(wide.NAMES)).long()
    ends_K = probabilities(favour).cumsum(0).to(uniform_B.device)
    return torch.searchsorted(ends_K, uniform_B.double(), right=True).clamp_(max=len(wide.NAMES) - 1)


def weights(uniform_B: Tensor, favour: Mapping[str, float]) -> Tensor:
    """float32 (B,): what each row counts."""
    ratios_K = 1.0 / (len(wide.NAMES) * probabilities(favour))
    return ratios_K.float().to(uniform_B.device)[chosen(uniform_B, favour)]
