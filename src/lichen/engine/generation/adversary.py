"""adversary: what discriminator and generator are each to make small.

minmax: Goodfellow et al. 2014, equation 1. nonsaturating: the same paper, section 3. hinge: Lim and Ye 2017.
wasserstein: Gulrajani et al. 2017, equation 3. relativistic: Huang et al. 2024 (R3GAN), section 2, with zero-
centred gradient penalties on real (R1) and made (R2) pictures.

Shapes: B rows, C channels, H height, W width; an answer is what the discriminator says of a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Answers = Callable[[Tensor], Tensor]
"""Pictures (B, C, H, W), or packs of rows (B, W) -> answers (B,), for classes that are fixed."""
Penalty = Callable[[Answers, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversary:
    """Losses of answers (B,) to real and to made pictures.

    Args:
        weight: of the penalty where none is told.
        dies: whether the generator's gradient vanishes where the discriminator is always right.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    penalty: Penalty | None = None
    weight: float = 0.0
    dies: bool = False

    @property
    def is_paired(self) -> bool:
        """Whether the generator's loss asks about real pictures too."""
        return self.generator is _relative_made


def toward_one(answers: Answers, real_BCHW: Tensor, made_BCHW: Tensor) -> Tensor:
    """(|gradient| - 1)^2 at pictures between real and made ones, each somewhere on its line."""
    ones = [1] * (real_BCHW.ndim - 1)
    share_B111 = torch.rand(len(real_BCHW), *ones, device=real_BCHW.device)
    between = (share_B111 * real_BCHW + (1.0 - share_B111) * made_BCHW).detach().requires_grad_()
    return ((squares(answers, between) + 1e-12).sqrt() - 1.0).square().mean()


def toward_zero(answers: Answers, real_BCHW: Tensor, made_BCHW: Tensor) -> Tensor:
    """|gradient|^2 / 2 at real pictures, and at made ones."""
    both = [squares(answers, x.detach().requires_grad_()).mean() for x in (real_BCHW, made_BCHW)]
    return 0.5 * (both[0] + both[1])


def squares(answers: Answers, x_BCHW: Tensor) -> Tensor:
    """(B,): the squared length of the gradient of each answer by its picture."""
    (gradient,) = torch.autograd.grad(answers(x_BCHW).float().sum(), x_BCHW, create_graph=True)
    return gradient.float().square().flatten(1).sum(1)


def _logistic(real_B: Tensor, made_B: Tensor) -> Tensor:
    return softplus(-real_B).mean() + softplus(made_B).mean()


def _relative(real_B: Tensor, made_B: Tensor) -> Tensor:
    return softplus(made_B - real_B).mean()


def _relative_made(real_B: Tensor, made_B: Tensor) -> Tensor:
    return softplus(real_B - made_B).mean()


ADVERSARIES = {
    "minmax": Adversary(
        discriminator=_logistic, generator=lambda real_B, made_B: -softplus(made_B).mean(), dies=True
    ),
    "nonsaturating": Adversary(
        discriminator=_logistic, generator=lambda real_B, made_B: softplus(-made_B).mean()
    ),
    "hinge": Adversary(
        discriminator=lambda real_B, made_B: relu(1.0 - real_B).mean() + relu(1.0 + made_B).mean(),
        generator=lambda real_B, made_B: -made_B.mean(),
    ),
    "wasserstein": Adversary(
        discriminator=lambda real_B, made_B: made_B.mean() - real_B.mean(),
        generator=lambda real_B, made_B: -made_B.mean(),
        penalty=toward_one, weight=10.0,
    ),
    "relativistic": Adversary(
        discriminator=_relative, generator=_relative_made, penalty=toward_zero, weight=1.0
    ),
}  # fmt: skip
