"""collapse: whether a generator still makes different pictures, and a discriminator still can be wrong.

The effective rank (Roy and Vetterli 2007) of made pictures within their classes, as a share of that of as
many real ones, falls to nearly nothing when all of a class become one. A discriminator that is always right
leaves a generator nothing to follow where the loss has no gradient there.

Shapes: N train rows, B rows looked at, F numbers of each, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lichen.core.errors import DivergedError
from lichen.data import draws

FLAT = 0.1
"""The share of the rank of real pictures below which made ones have collapsed."""
NOTHING = 1e-3
"""The share of the largest singular value of real pictures that counts as rounding."""
STREAK = 3
"""Looks in a row at which it must show: a young generator is flat for a while."""
ALWAYS = 0.9995
GRACE = 0.1
"""The share of the training before which nobody is judged."""
NUM_LOOKED = 64
"""Rows of each kind that a look asks about."""
FEW = 8
"""Classes of a look at most: with a row of each of many there is no rank within them."""


def looked(y_N: Tensor, *, seed: int, step: int) -> Tensor:
    """int64 (B,): rows to look at, as many of each of a few classes, and others at each step."""
    counts_K = torch.bincount(y_N)
    num_classes = min(FEW, int(counts_K.count_nonzero()))
    each = NUM_LOOKED // num_classes
    order_K, order_N = (torch.argsort(draws.hashes(torch.arange(size), seed=seed, epoch=step), stable=True)
                        for size in (len(counts_K), len(y_N)))  # fmt: skip
    has_K = counts_K[order_K].clamp(max=each)
    chosen_K = order_K[torch.argsort(has_K, descending=True, stable=True)][:num_classes]
    return torch.cat([order_N[y_N[order_N] == label][:each] for label in chosen_K])


def rank_share(real_BF: Tensor, made_BF: Tensor, y_B: Tensor) -> float:
    """The effective rank of made rows within their classes as a share of that of real ones.

    Raises:
        DivergedError: a number is not finite.
    """
    if not (torch.isfinite(real_BF).all() and torch.isfinite(made_BF).all()):
        raise DivergedError("the discriminator's features became infinite", hint="a lower rate")
    real, made = (torch.linalg.svdvals(_within(x_BF.float(), y_B)) for x_BF in (real_BF, made_BF))
    least = float(real.max()) * NOTHING
    return effective_rank(made, least) / effective_rank(real, least) if least > 0 else 1.0


def effective_rank(values: Tensor, least: float = 0.0) -> float:
    """exp of the entropy of the singular values above the least, as shares of their sum; of none 0."""
    values = values[values > least]
    shares = values / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum())) if len(values) else 0.0


def _within(x_BF: Tensor, y_B: Tensor) -> Tensor:
    """Rows less the mean of their class."""
    is_same_BB = (y_B[:, None] == y_B[None, :]).float()
    return x_BF - is_same_BB @ x_BF / is_same_BB.sum(1, keepdim=True)


def accuracy(real_B: Tensor, made_B: Tensor) -> float:
    """How often an answer to a real picture is above one to a made one, of all pairs; ties count half."""
    apart = real_B.float()[:, None] - made_B.float()[None, :]
    return float((apart > 0).float().mean() + 0.5 * (apart == 0).float().mean())


def check(history: Sequence[Mapping[str, Any]], *, done: float, dies: bool) -> None:
    """Ends a training that goes nowhere.

    Args:
        history: figures of each look: `feature_rank`, a share, and `discriminator_accuracy`.
        done: the share of the training that is over.
        dies: whether the loss gives the generator nothing when the discriminator is always right.

    Raises:
        DivergedError: the last looks all show a collapse; says which.
    """
    last = history[-STREAK:]
    if done < GRACE or len(last) < STREAK:
        return
    epoch, ranks = last[-1]["epoch"], ", ".join(f"{look['feature_rank']:.3f}" for look in last)
    if all(look["feature_rank"] < FLAT for look in last):
        raise DivergedError(
            f"the generator has collapsed: at epoch {epoch} its pictures differ in {ranks} of the directions"
            " in which real ones do",
            hint="a lower rate, spectral_norm, or loss='relativistic'",
        )
    if dies and all(look["discriminator_accuracy"] > ALWAYS for look in last):
        raise DivergedError(
            f"the discriminator was always right, {STREAK} looks long up to epoch {epoch}, and by this loss"
            " the generator then learns nothing", hint="loss='nonsaturating' or 'hinge'",
        )  # fmt: skip
