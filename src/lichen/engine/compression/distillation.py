"""distillation: a loss that pulls a student towards what a teacher says, and towards where it looks.

Outputs are compared as their task means them; feature maps of equal height and width either through a learnt
1x1 convolution (hints) or by how strongly they answer at each pixel (attention), which needs no equal number
of channels.
Paper: Hinton et al. 2015 (outputs); Romero et al. 2015 (hints); Zagoruyko and Komodakis 2017 (attention).
Departs from them: hints and outputs are learnt together, and at the end of every stage that both nets have.

Shapes: B rows, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.core.protocols import SelfSupervised, Task, Taught
from lichen.engine.compression import dictation
from lichen.engine.training import supervised
from lichen.engine.training.execution import Objective

TEMPERATURE = 4.0
"""Softens the teacher's outputs: Hinton et al. 2015, section 3, tries 1 to 20."""
Side = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What of a teacher is taught.

    Args:
        share: of the loss that compares outputs; the rest is the task's own.
        features: `none`, `hints` or `attention`.
        feature_weight: what a unit of distance between feature maps adds to the loss.
    """

    share: float
    temperature: float = TEMPERATURE
    features: str = "none"
    feature_weight: float = 1.0


class Student(nn.Module):
    """A net under a teacher, with the 1x1 convolutions that its hints are compared through."""

    def __init__(
        self, net: nn.Module, teacher: nn.Module, lessons: Lessons, image_shape: Sequence[int]
    ) -> None:
        super().__init__()
        self.net = net
        self.stages: list[tuple[str, str]] = []
        self.regressors = nn.ModuleList()
        if lessons.features != "none":
            self.stages = _shared_stages(net, teacher, image_shape)
        if lessons.features == "hints":
            names = zip(*self.stages, strict=True)
            maps = [_maps(*each, image_shape) for each in zip((net, teacher), names, strict=True)]
            self.regressors.extend(
                nn.Conv2d(own.shape[1], theirs.shape[1], 1) for own, theirs in zip(*maps, strict=True)
            )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.net(x_BCHW)


def objective(teacher: nn.Module, task: Task, assets: Mapping[str, Any], lessons: Lessons) -> Objective:
    """(1 - share) of the task's loss, a share of how far outputs are from the teacher's, and the features'.

    The module that is trained must be a `Student` where features are compared.

    Raises:
        UsageError: outputs are compared, and the task does not say how.
    """
    plain = supervised.objective(task, assets)
    if lessons.share == 0.0 and lessons.features == "none":
        return plain
    if isinstance(task, SelfSupervised):
        return dictation.objective(
            teacher, task, assets, share=lessons.share, temperature=lessons.temperature
        )
    if not isinstance(task, Taught):
        raise UsageError(f"task `{task.name}` does not say how far answers are from a teacher's",
                         hint="give it a method `apart`, or distillation_share=0")  # fmt: skip
    teacher.requires_grad_(False).eval()

    def taught(module: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        inputs_BCHW = task.inputs(x_BCHW, assets)
        outputs_BK = module(inputs_BCHW)
        with torch.no_grad():
            taught_BK = teacher(inputs_BCHW)
        loss_B = (1.0 - lessons.share) * task.loss(outputs_BK, y_B)
        apart_B = task.apart(outputs_BK, taught_BK, assets, lessons.temperature)
        return loss_B + lessons.share * apart_B

    def shown(module: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        student = _student(module)
        with (
            watched(student.net, [own for own, _ in student.stages]) as owns,
            watched(teacher, [theirs for _, theirs in student.stages]) as theirs,
        ):
            loss_B = taught(module, x_BCHW, y_B)
        apart_B = sum(
            _apart(student, place, owns[own], theirs[there], lessons)
            for place, (own, there) in enumerate(student.stages)
        ) / len(student.stages)  # fmt: skip
        return loss_B + lessons.feature_weight * apart_B

    return taught if lessons.features == "none" else shown


def attention(map_BCHW: Tensor) -> Tensor:
    """(B, H W): where a map answers: its squares summed over channels, of length 1."""
    return functional.normalize(map_BCHW.float().square().mean(1).flatten(1), dim=1)


def _apart(student: Student, place: int, own_BCHW: Tensor, their_BCHW: Tensor, lessons: Lessons) -> Tensor:
    """(B,): how far two maps are from each other."""
    if lessons.features == "attention":
        return (attention(own_BCHW) - attention(their_BCHW)).square().sum(1)
    said_BCHW = student.regressors[place](own_BCHW).float()
    return 0.5 * (said_BCHW - their_BCHW.float()).square().mean((1, 2, 3))


def _student(module: nn.Module) -> Student:
    inner = getattr(module, "module", module)  # torch.distributed wraps it
    assert isinstance(inner, Student)
    return inner


@contextmanager
def watched(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What some modules inside a net return while it lasts, by name."""
    found: dict[str, Tensor] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            found[name] = output

    hooks = [
        module.get_submodule(name).register_forward_hook(
            lambda _, inputs, output, name=name: note(name, output)
        )
        for name in names
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def stages(module: nn.Module, image_shape: Sequence[int]) -> dict[Side, str]:
    """The module that gives the last feature map of each height and width, by (height, width)."""
    names = [name for name, _ in module.named_modules() if name]
    with watched(module.eval(), names) as found, torch.inference_mode():
        module(torch.zeros(1, *image_shape))
    return {(output.shape[2], output.shape[3]): name for name, output in found.items()
            if output.ndim == 4 and output.shape[2] > 1}  # fmt: skip


def _shared_stages(net: nn.Module, teacher: nn.Module, image_shape: Sequence[int]) -> list[tuple[str, str]]:
    owns, theirs = stages(net, image_shape), stages(teacher, image_shape)
    shared = [(name, theirs[side]) for side, name in owns.items() if side in theirs]
    if not shared:
        raise UsageError(
            "teacher and student must have feature maps of equal size to compare; they have "
            f"{sorted(theirs)} and {sorted(owns)}", hint="features='none'",
        )  # fmt: skip
    return shared


def _maps(module: nn.Module, names: Sequence[str], image_shape: Sequence[int]) -> list[Tensor]:
    with watched(module.eval(), names) as found, torch.inference_mode():
        module(torch.zeros(1, *image_shape))
    return [found[name] for name in names]
