"""prune: remove whole channels or blocks until the net is smaller or faster, then recover by fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError, OptionError, UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Positive, Ratio, Seed
from lichen.core.step import step
from lichen.core.value import count_text
from lichen.data.batches import Epochs
from lichen.engine.compression import allocation, distillation, latency, pruning
from lichen.engine.compression.distillation import Lessons
from lichen.engine.compression.pruning import Group
from lichen.engine.fit import Settings, fit
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend, macs
from lichen.engine.programs import executables
from lichen.engine.task import task_of
from lichen.engine.training import execution, masking, supervised
from lichen.engine.training.execution import Execution, Objective
from lichen.engine.training.phase import Phase
from lichen.engine.training.ranks import ranks

USUAL = 2.0
"""The speedup where neither it nor widths are told."""
LADDER = {"speedup": [1.5, 2.0, 3.0, 4.0, 6.0, 8.0]}
"""What a study asks for, weakest first."""
NUM_BATCHES = 8
"""Train batches that tell how important a channel is,"""
NUM_TRIED = 3
"""and how much it harms to narrow one layer: there are many of those to try."""
FASTER = 1.05
"""A gain below this is not one, and one below its inverse is a loss."""
RACES = 3
"""Before a pruned net is called slower: noise must not refuse it,"""
NOISE_MS = 0.01
"""nor so short a time, which a call alone takes."""


@step
def prune(
    model: Model,
    data: Dataset,
    *,
    speedup: Ratio | None = None,
    by: Literal["macs", "latency"] = "macs",
    widths: dict | None = None,
    importance: Literal["group_norm", "taylor"] = "group_norm",
    round_to: Count = 8,
    runtime: Literal["onnxruntime", "openvino"] = "onnxruntime",
    rounds: Count = 1,
    round_epochs: Natural = 1,
    epochs: Natural = 3,
    batch_size: Count | None = None,
    rate: Positive = 0.02,
    weight_decay: Positive = 0.0005,
    distillation: Fraction = 0.5,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Removes what matters least, with everything that depends on it; inputs and outputs of the net stay.

    By multiply-accumulates the least important channels of all layers go together. By latency each layer gets
    the width that saves the most time for the least loss, and a residual block may go whole: by a table of
    this machine's times per layer, checked against the clock.

    Args:
        speedup: how many times fewer multiply-accumulates, or how many times faster one row on this machine;
            None: twice.
        by: what speedup counts.
        widths: channels that stay by layer, such as {layer1.0.conv1: 8}, in place of a speedup; other layers
            stay whole.
        importance: of a channel: the norm of its weights, or the loss's first-order change without it.
        round_to: widths become multiples of this; ragged ones are often slower than the whole net.
        runtime: what times the net before and after.
        rounds: in which the target is approached, each with a recovery.
        round_epochs: of the fine-tuning after each round but the last.
        epochs: of fine-tuning on the data's train rows and augmentation policy; 0: none.
        rate: the peak rate of the fine-tuning.
        distillation: the share of the loss that compares with the outputs of the model before pruning.
        precision: of the fine-tuning; auto: the fastest on this machine, a recorded decision.

    Raises:
        GateError: the pruned net is slower than the model on this machine.
        UsageError: the net cannot be made so small or so fast, or tells tokens.
        OptionError: widths beside a speedup, or of channels that no layer has.
    """
    if widths is not None and (speedup is not None or by != "macs" or rounds > 1):
        raise OptionError(
            "`widths` say how much goes, so there can be no `speedup`, `by` or `rounds` beside them"
        )
    target = USUAL if speedup is None else speedup
    task, assets = task_of(model.task), model.assets
    if feeds.tells_tokens(assets):
        raise UsageError("channels are those of nets of pictures and features; this model tells tokens",
                         hint="compress.trim takes layers and heads out of a gpt")  # fmt: skip
    if importance == "taylor" and ranks()[1] > 1:
        raise UsageError("each of several processes sees other rows, and would remove other channels",
                         hint="importance: group_norm, or one process")  # fmt: skip
    task.check(data, "train")
    feeds.shape(assets)  # refuses what makes pictures
    whole = backend.module_of(model)
    batches = supervised.batches_of(data, assets, batch_size=batch_size, seed=seed, device=run.device)
    cut = Cut(
        model=model, batches=batches, objective=supervised.objective(task, assets), by=by,
        importance=importance, round_to=round_to, runtime=runtime, widths=widths,
    )  # fmt: skip
    taught = _objective(whole, model, distillation, run)
    slim = whole
    for number in range(1, rounds + 1):
        is_last = number == rounds
        part = run if is_last else Phase(run, f"round_{number}")
        slim = cut.narrowed(slim.to("cpu").eval(), target ** (number / rounds), part)
        settings = Settings(
            epochs=epochs if is_last else round_epochs, rate=rate, weight_decay=weight_decay,
            precision=precision, seed=seed + number - 1,
        )  # fmt: skip
        if is_last:
            cut.require_gain(whole, slim, run)
        if settings.epochs:
            about = {"net": model.net, "macs": macs.count(slim, cut.shape)}
            with masking.kept(slim, assets):
                fit(
                    slim, batches, settings, run=part, objective=taught, about=about,
                    judge=supervised.judge(task, data, assets, device=run.device),
                )  # fmt: skip
    return model.with_weights(backend.arrays_of(slim.to("cpu").eval()))


def _objective(whole: nn.Module, model: Model, share: float, run: Run) -> Objective:
    """The loss of the recovery, with the whole net as teacher; a copy of its own, as the net is cut next."""
    teacher = backend.module_of(model).to(run.device)
    return distillation.objective(teacher, task_of(model.task), model.assets, Lessons(share=share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a net is narrowed."""

    model: Model
    batches: Epochs
    objective: Objective
    by: str
    importance: str
    round_to: int
    runtime: str
    widths: Mapping[str, Any] | None = None

    @property
    def shape(self) -> list[int]:
        return feeds.shape(self.model.assets)

    def narrowed(self, module: nn.Module, speedup: float, run: Run) -> nn.Module:
        """A copy of the widths that were told, or that meets the target, counted from the whole model."""
        gradients = self._gradients if self.importance == "taylor" else None
        with execution.in_force(Execution(), "cpu"):  # one thread, float32: equal bits anywhere
            if self.by == "latency" or self.widths is not None:
                groups = pruning.rank(module, self.shape, self.importance, gradients)
                kept = (
                    self._meeting(module, groups, speedup, run) if self.widths is None
                    else allocation.told(module, groups, self.widths)
                )  # fmt: skip
                return pruning.without(module, self.shape, allocation.gone(groups, kept))
            done = macs.count(backend.module_of(self.model), self.shape) / macs.count(module, self.shape)
            return pruning.prune(
                module, self.shape, speedup=speedup / done, importance=self.importance,
                round_to=self.round_to, gradients=gradients,
            )  # fmt: skip

    def _meeting(self, module: nn.Module, groups: list[Group], speedup: float, run: Run) -> dict[str, int]:
        """Channels kept per layer for a latency: a decision, on a table of times that is one as well."""
        shapes = allocation.shapes_needed(module, self.shape, allocation.own(groups), self.round_to)
        table = run.decide(
            "layer_ms", lambda: latency.measured(shapes, self.runtime),
            about={"runtime": self.runtime, "shapes": sorted(str(shape) for shape in shapes)},
        )  # fmt: skip
        before = self._program(backend.module_of(self.model))

        def gain_of(slim: nn.Module) -> float:
            return _gain(latency.beside(before, self._program(slim)))

        return run.decide(
            "widths",
            lambda: allocation.meeting(
                module, self.shape, groups, table, speedup=speedup, round_to=self.round_to,
                loss=self._loss, gain_of=gain_of,
            ),
            about={"model": self.model.digest, "speedup": speedup, "runtime": self.runtime,
                   "importance": self.importance, "shapes": sorted(str(shape) for shape in shapes)},
        )  # fmt: skip

    def _loss(self, module: nn.Module) -> float:
        """The mean loss on some train rows, norms taking each batch's own figures."""
        module.eval()
        for layer in module.modules():
            layer.training = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        with torch.no_grad():
            losses = [
                self.objective(module, x.to("cpu"), y.to("cpu")).mean().item()
                for x, y in self._few(NUM_TRIED)
            ]
        module.eval()
        return sum(losses) / len(losses)

    def _gradients(self, module: nn.Module) -> None:
        """Accumulates the loss's gradient over the first train batches."""
        for x_BCHW, y_B in self._few(NUM_BATCHES):
            self.objective(module, x_BCHW.to("cpu"), y_B.to("cpu")).mean().backward()

    def _few(self, num_batches: int) -> list[Any]:
        return [batch[:2] for batch in islice(self.batches.epoch(0), num_batches)]

    def _program(self, module: nn.Module) -> Program:
        made = self.model.with_weights(backend.arrays_of(module))
        return executables.candidates(made, executables.files_of(made), runtime=self.runtime)[
            f"{self.runtime}/float32"
        ]

    def require_gain(self, whole: nn.Module, slim: nn.Module, run: Run) -> None:
        """Says what was gained, in work and in time as deployed: less work is not always less time.

        Raises:
            GateError: one row takes longer than before.
        """
        about = {"model": self.model.digest, "runtime": self.runtime,
                 "shapes": [list(own.shape) for own in slim.parameters()]}  # fmt: skip
        found = run.decide("gain", lambda: self._raced(whole, slim), about=about)
        work, gain = [macs.count(module, self.shape) for module in (whole, slim)], _gain(found)
        said = (
            f"multiply-accumulates {count_text(work[0])} -> {count_text(work[1])} ({work[0] / work[1]:.2f}x),"
            f" one row {found['before']:.3g} -> {found['after']:.3g} ms ({gain:.2f}x)"
        )
        if _is_slower(found):
            raise GateError(
                f"a pruned net must not be slower than the whole one: {said}",
                hint="by='latency', or a larger round_to",
            )
        run.emit("note", text=said)
        if gain < FASTER:
            run.emit("warning", text=f"pruned {work[0] / work[1]:.2f}x but not faster here: {gain:.2f}x")

    def _raced(self, whole: nn.Module, slim: nn.Module) -> dict[str, float]:
        """The shortest times of one row, before and after; again where it looks slower."""
        before, after = self._program(whole), self._program(slim)
        found = latency.beside(before, after)
        for _ in range(RACES - 1):
            if not _is_slower(found):
                break
            again = latency.beside(before, after)
            found = {name: min(found[name], again[name]) for name in found}
        return found


def _gain(latency_ms: dict[str, float]) -> float:
    return latency_ms["before"] / latency_ms["after"]


def _is_slower(latency_ms: dict[str, float]) -> bool:
    return latency_ms["after"] > max(FASTER * latency_ms["before"], latency_ms["before"] + NOISE_MS)
