"""ctgan: rows of a table from codes and classes, each number of its kind: a place in a mode, or a choice.

A row is asked for by its class and by a level of one other column, or of none. Which one is drawn from the
code, as often as train rows of the class have it; so a row is a function of class and code alone.
Paper: Xu et al. 2019, "Modeling Tabular Data using Conditional GAN", sections 4.3 and 4.4.
Departs from it: the class is always told. The noise of the choices is part of the code, so that no row is
drawn by a generator of random numbers.

Shapes: B rows, K classes, Z numbers of a code, V levels of all columns that have them, W numbers of a row,
C numbers of choices, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError

TAKES = "codes"
"""(B, K + Z): the share of each class, then the code: two numbers that choose, the net's own, and noise."""
TEMPERATURE = 0.2
NUM_CHOOSING = 2
EDGE = 1e-6


class Widening(nn.Module):
    """A layer whose outputs stand beside its inputs."""

    def __init__(self, num_inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_inputs, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x_BF: Tensor) -> Tensor:
        return torch.cat([functional.relu(self.norm(self.linear(x_BF))), x_BF], 1)


class Rows(nn.Module):
    """Two widening layers, then every number of a row."""

    shares: Tensor

    def __init__(
        self, in_shape: tuple[int, int], spans: list[tuple[str, int]], levels: list[int], width: int
    ) -> None:
        super().__init__()
        self.num_classes, length = in_shape
        self.spans, self.levels = spans, levels
        num_noise = sum(size for kind, size in spans if kind == "choice")
        num_own = length - NUM_CHOOSING - num_noise
        if num_own < 1:
            raise OptionError(
                f"a code of {length} numbers is too short: {NUM_CHOOSING + num_noise} of them choose"
            )
        self.parts = [NUM_CHOOSING, num_own, num_noise]
        told = self.num_classes + sum(levels) + num_own
        self.body = nn.Sequential(Widening(told, width), Widening(told + width, width))
        self.last = nn.Linear(told + 2 * width, sum(size for _, size in spans))
        self.head = nn.Identity()
        self.register_buffer("shares", torch.ones(self.num_classes, sum(levels)))

    def marks(self, class_BK: Tensor, choosing_B2: Tensor) -> Tensor:
        """(B, V): a mark at the level that is asked for; of none nowhere."""
        if not self.levels:
            return class_BK[:, :0]
        even_B2 = 0.5 * (1.0 + torch.erf(choosing_B2 * 0.5**0.5))
        column_B = (even_B2[:, :1] * (len(self.levels) + 1)).floor()
        found = []
        for place, shares_KV in enumerate(self.shares.split(self.levels, 1)):
            ends_BV = (class_BK @ shares_KV).cumsum(1)
            ends_BV = ends_BV / ends_BV[:, -1:]
            below_BV = functional.pad(ends_BV[:, :-1], (1, 0))
            is_level_BV = torch.logical_and(even_B2[:, 1:] >= below_BV, even_B2[:, 1:] < ends_BV)
            found.append(torch.logical_and(is_level_BV, column_B == place).float())
        return torch.cat(found, 1)

    def raw(self, class_BK: Tensor, marks_BV: Tensor, own_BZ: Tensor) -> Tensor:
        """(B, W) before each number is of its kind."""
        return self.last(self.body(torch.cat([class_BK, marks_BV, own_BZ], 1)))

    def shaped(self, raw_BW: Tensor, noise_BC: Tensor) -> Tensor:
        """(B, W): places in -1 to 1, and choices that are all but made (Gumbel-softmax: Jang et al. 2017)."""
        even_BC = (0.5 * (1.0 + torch.erf(noise_BC * 0.5**0.5))).clamp(EDGE, 1.0 - EDGE)
        gumbel_BC, found, used = -torch.log(-torch.log(even_BC)), [], 0
        for (kind, size), part in zip(self.spans, raw_BW.split([size for _, size in self.spans], 1)):
            if kind == "place":
                found.append(torch.tanh(part))
                continue
            noisy = (part + gumbel_BC[:, used : used + size]) / TEMPERATURE
            found.append(noisy.softmax(1))
            used += size
        return torch.cat(found, 1)

    def features(self, code_BZ: Tensor) -> Tensor:
        class_BK, rest = code_BZ[:, : self.num_classes], code_BZ[:, self.num_classes :]
        choosing_B2, own_BZ, noise_BC = rest.split(self.parts, 1)
        return self.shaped(self.raw(class_BK, self.marks(class_BK, choosing_B2), own_BZ), noise_BC)

    def forward(self, code_BZ: Tensor) -> Tensor:
        """(B, W)."""
        return self.head(self.features(code_BZ))


def build(
    *, in_shape: tuple[int, int], spans: list | None = None, levels: list | None = None, width: int = 256
) -> nn.Module:
    """A net that makes rows of spans [kind, width]; `levels` says how many each column of levels has."""
    told = [
        (str(kind), int(size)) for kind, size in ([("place", 1), ("choice", 4)] if spans is None else spans)
    ]
    return Rows(in_shape, told, [4] if levels is None else [int(size) for size in levels], width)
