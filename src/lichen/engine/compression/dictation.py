"""dictation: a loss that pulls a language model towards what a teacher holds possible at every token.

Both see the same tokens of the same documents, so both must have the same tokenizer. Logits of some thousands
of numbers are in memory at a time, as `telling` has them.
Paper: Hinton et al. 2015, with the mean over tokens; Muralidharan et al. 2024, section 3 (outputs alone,
without the labels, restore a pruned language model best).

Shapes: B rows of a batch, T tokens, Q places that tell something, D width, V different tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.digest import digest_json, short
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.protocols import Task
from lichen.data.tokenizer import PAD
from lichen.engine.training import telling
from lichen.engine.training.execution import Objective


def objective(
    teacher: nn.Module, task: Task, assets: Mapping[str, Any], *, share: float, temperature: float
) -> Objective:
    """(1 - share) of the tokens' own loss, and a share of T^2 KL(softmax(t / T) || softmax(s / T))."""
    teacher.requires_grad_(False).eval()

    def dictated(module: nn.Module, rows: Tensor, _: Tensor) -> Tensor:
        x_BT, told_BT = task.inputs(rows, assets), telling.told_of(rows)
        count = (told_BT != PAD).sum().clamp(min=1)
        size = max(1, telling.MOST_TOKENS // x_BT.shape[1])

        def part(x_BT: Tensor, told_BT: Tensor) -> Tensor:
            return losses(module, teacher, x_BT, told_BT, share, temperature).sum() / count

        pieces = zip(x_BT.split(size), told_BT.split(size), strict=True)
        return telling.summed(module, [partial(part, *piece) for piece in pieces])

    return dictated


def losses(
    module: nn.Module, teacher: nn.Module, x_BT: Tensor, told_BT: Tensor, share: float, temperature: float
) -> Tensor:
    """float32 (Q,): of each token that is told, row after row."""
    head, heard_QD, num_outputs = telling.heard(module, x_BT, told_BT)
    with torch.no_grad():
        taught, hints_QD, _ = telling.heard(teacher, x_BT, told_BT)

    def apart(heard_QD: Tensor, hints_QD: Tensor, told_Q: Tensor) -> Tensor:
        said_QV = head(heard_QD).float()
        with torch.no_grad():
            taught_QV = torch.log_softmax(taught(hints_QD).float() / temperature, -1)
        soft_QV = torch.log_softmax(said_QV / temperature, -1)
        apart_QV = functional.kl_div(soft_QV, taught_QV, reduction="none", log_target=True)
        own_Q = functional.cross_entropy(said_QV, told_Q, reduction="none")
        return (1.0 - share) * own_Q + share * temperature**2 * apart_QV.sum(-1)

    return telling.in_pieces(apart, num_outputs, heard_QD, hints_QD, told_BT[told_BT != PAD])


def require_same_words(student: Model, teacher: Model) -> None:
    """Refuses a student that reads other tokens than its teacher.

    Raises:
        UsageError: the tokenizers differ, by their hashes.
    """
    own, theirs = (short(digest_json(model.assets.get("tokenizer"))) for model in (student, teacher))
    if own != theirs:
        raise UsageError(
            f"a student must read texts as its teacher does, through one tokenizer; its own is {own}, the"
            f" teacher's {theirs}", hint="pretrain.language(data, tokenizer=...) with the teacher's",
        )  # fmt: skip
