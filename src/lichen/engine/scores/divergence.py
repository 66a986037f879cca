"""divergence: how far a student's outputs are from a teacher's, by what outputs mean.

Both are softened by a temperature T, and the divergence is multiplied by T^2 so that its gradient does not
shrink with T (Hinton et al. 2015, section 2).
Shapes: B rows, K outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def of_classes(outputs_BK: Tensor, taught_BK: Tensor, temperature: float) -> Tensor:
    """(B,): the Kullback-Leibler divergence of one class out of K."""
    taught_BK = torch.log_softmax(taught_BK.float() / temperature, -1)
    said_BK = torch.log_softmax(outputs_BK.float() / temperature, -1)
    apart_BK = functional.kl_div(said_BK, taught_BK, reduction="none", log_target=True)
    return temperature**2 * apart_BK.sum(-1)


def of_marks(outputs_BK: Tensor, taught_BK: Tensor, temperature: float) -> Tensor:
    """(B,): the divergence of K marks that are there or not, each by itself."""
    return temperature**2 * _marks(outputs_BK / temperature, taught_BK / temperature).sum(-1)


def of_ranks(outputs_BT: Tensor, taught_BT: Tensor, temperature: float) -> Tensor:
    """(B,): the divergence of a place on a scale; output k is the log odds to be above k, being k at least.

    By the chain rule, each output counts as often as the teacher holds that it is asked.
    """
    taught_BT = taught_BT.float() / temperature
    above_BT = torch.sigmoid(taught_BT).cumprod(-1)
    asked_BT = torch.cat([torch.ones_like(above_BT[:, :1]), above_BT[:, :-1]], -1)
    return temperature**2 * (asked_BT * _marks(outputs_BT / temperature, taught_BT)).sum(-1)


def _marks(outputs_BK: Tensor, taught_BK: Tensor) -> Tensor:
    outputs_BK, taught_BK = outputs_BK.float(), taught_BK.float()
    share_BK = torch.sigmoid(taught_BK)
    yes_BK = functional.logsigmoid(taught_BK) - functional.logsigmoid(outputs_BK)
    no_BK = functional.logsigmoid(-taught_BK) - functional.logsigmoid(-outputs_BK)
    return share_BK * yes_BK + (1.0 - share_BK) * no_BK


def of_directions(outputs_BD: Tensor, taught_BD: Tensor) -> Tensor:
    """(B,): 1 - cos of the angle between two vectors."""
    return 1.0 - functional.cosine_similarity(outputs_BD.float(), taught_BD.float(), dim=-1)
