"""imitation: a generator learns to make what another makes of equal codes and classes.

Paper: Aguinaldo et al. 2019, "Compressing GANs using Knowledge Distillation", its MSE loss: the mean squared
distance of the student's pictures to the teacher's. Departs from it: rows of a table are compared so too, and
no discriminator joins in.

Shapes: B rows of a batch, K classes, Z numbers of a code, M numbers of a picture or a row.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.engine.modules import architecture
from lichen.engine.training.execution import Objective
from lichen.nets import generator
from lichen.nets.ctgan import Rows

MADE = ("image_shape", "spans", "levels")
"""Options of a generator that say what it makes, which its student makes too."""


def fresh(net: str, options: Mapping[str, Any], model: Model, teacher: nn.Module) -> nn.Module:
    """A student that takes what its teacher takes, and makes the same kind of rows.

    Raises:
        UsageError: the net makes no such rows.
    """
    told = {name: model.options[name] for name in MADE if name in model.options}
    builder, _ = architecture.builder_of(net)
    if not told.keys() <= inspect.signature(builder).parameters.keys():
        raise UsageError(f"the student of a generator must make such rows from codes; `{net}` does not",
                         hint=f"net={model.net!r}, and net_options={{'width': ...}}")  # fmt: skip
    shape = (len(model.assets["labels"]), model.assets["num_codes"])
    student = architecture.build(net, {**told, **options}, shape, 0)
    if isinstance(student, Rows) and isinstance(teacher, Rows):
        student.shares.copy_(teacher.shares)  # how often levels are asked for is told by the train rows
    return student


def objective(teacher: nn.Module, assets: Mapping[str, Any]) -> Objective:
    """(module, rows of codes, _) -> (B,): of codes drawn now, for the classes of the rows."""
    teacher.requires_grad_(False).eval()
    num_classes, num_codes = len(assets["labels"]), assets["num_codes"]

    def apart(module: nn.Module, x_B11Z: Tensor, _: Tensor) -> Tensor:
        classes_BK = functional.one_hot(x_B11Z.flatten(1)[:, 0].long(), num_classes).float()
        code_BZ = torch.randn(len(classes_BK), num_codes, device=classes_BK.device)
        asked = generator.codes(classes_BK, code_BZ)
        with torch.no_grad():
            shown_BM = teacher(asked).flatten(1)
        return (module(asked).flatten(1).float() - shown_BM.float()).square().mean(1)

    return apart
