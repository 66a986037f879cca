"""trim: a language model loses layers, heads and columns of its MLPs, and recovers under what it was.

Layers go first, then from each that is left the groups of heads and the columns that it misses least; what
remains learns from the whole model's answers. What the whole thing costs is asked on validation, and what a
token takes is measured.
Papers: Men et al. 2024 (layers); Michel et al. 2019 and Molchanov et al. 2019 (heads and columns);
Muralidharan et al. 2024 (depth and width with the whole model as teacher).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError, OptionError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Positive, Seed
from lichen.core.step import step
from lichen.core.value import count_text
from lichen.data.batches import Rounds
from lichen.engine.compression import dictation, fewbits, trimming
from lichen.engine.compression.calibration import calibration
from lichen.engine.compression.trimming import Batch, Sizes
from lichen.engine.fit import Settings, fit
from lichen.engine.modules import architecture, backend
from lichen.engine.programs import gptfile
from lichen.engine.programs.parity import Reference
from lichen.engine.task import task_of
from lichen.engine.training import execution, supervised, telling
from lichen.engine.training.execution import Execution

ASKED_TOKENS = 8192
"""Of train rows, that say what matters."""
STEP_TOKENS = 4096
"""Tokens of a step where nobody says."""
ROUNDS = 5
"""In which the recovery asks validation."""
JUDGED_TOKENS = 16_384
"""Of validation, in each."""
FASTER = 1.05
"""A gain below this is not one."""


@step(splits=("train", "validation"))
def trim(
    model: Model,
    data: Dataset,
    *,
    layers: Fraction = 0.0,
    heads: Fraction = 0.25,
    hidden: Fraction = 0.25,
    by: Literal["influence", "loss"] = "influence",
    round_to: Count = 16,
    steps: Natural = 200,
    batch_size: Count | None = None,
    optimizer: Literal["muon_adamw", "adamw"] = "muon_adamw",
    rate: Positive | None = None,
    weight_decay: Positive = 0.01,
    warmup: Natural = 10,
    distillation: Fraction = 0.9,
    temperature: Positive = 1.0,
    max_drop: Fraction = 0.1,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Takes whole parts out of a gpt; its tensors shrink, and its options say so.

    Args:
        layers: the share of them that goes. heads: likewise; those that share keys and values go together.
        hidden: the share of the columns of each MLP that goes.
        by: what a layer is judged by: how far it turns what it reads, or the loss without it.
        round_to: columns stay a multiple of this.
        steps: of the recovery on train rows; 0: none.
        batch_size: rows per step over all processes; None: those of 4 096 tokens.
        rate: the peak rate of the recovery; None: the optimizer's usual one.
        warmup: steps over which the rate rises.
        distillation: the share of the recovery's loss that compares with the whole model token by token.
        temperature: softens both sides of that comparison.
        max_drop: bits per byte that validation may lose.
        precision: of the recovery; auto: the fastest on this machine, a recorded decision.

    Raises:
        UsageError: the model is no gpt that tells tokens.
        OptionError: nothing is to go.
        GateError: more than `max_drop` is lost.
    """
    task, assets = task_of(model.task), model.assets
    whole = trimming.require(backend.module_of(model))
    task.check(data, "train")
    sizes = Sizes.of(whole).without(layers=layers, heads=heads, hidden=hidden, round_to=round_to)
    if sizes == Sizes.of(whole):
        raise OptionError(
            f"nothing goes: {sizes.layers} layers, {sizes.groups} groups of heads and {sizes.hidden} columns"
            " stay as they are", hint="larger shares of layers, heads or hidden",
        )  # fmt: skip
    reference = Reference(model, data)
    slim: nn.Module = _cut(model, data, sizes, by, seed, run)
    alone = reference.pair(_wrapped(model, slim))
    if steps:
        recovery = Recovery(
            steps=steps, batch_size=batch_size or max(1, STEP_TOKENS // assets["max_tokens"]),
            share=distillation, temperature=temperature,
        )  # fmt: skip
        settings = Settings(
            epochs=min(ROUNDS, steps), optimizer=optimizer, rate=rate, weight_decay=weight_decay,
            schedule="linear", warmup=warmup / recovery.round_steps, precision=precision, seed=seed,
        )  # fmt: skip
        recovery.fit(slim, model, data, settings, run)
    made = _wrapped(model, slim.to("cpu").eval())
    pairing = reference.pair(made)
    run.emit("note", text=f"{pairing}; before the recovery {alone.after:.4f}")
    if not pairing.is_within(max_drop):
        raise GateError(f"{pairing.metric} may drop by {max_drop:g} at most: {pairing}",
                        hint="smaller shares, more steps, or a larger max_drop")  # fmt: skip
    _tell(model, made, run)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How what is left learns what the whole model knew."""

    steps: int
    batch_size: int
    share: float
    temperature: float

    @property
    def round_steps(self) -> int:
        return -(-self.steps // min(ROUNDS, self.steps))

    def fit(self, slim: nn.Module, model: Model, data: Dataset, settings: Settings, run: Run) -> None:
        task, assets = task_of(model.task), model.assets
        teacher = backend.module_of(model).to(run.device)
        batches = supervised.batches_of(data, assets, batch_size=self.batch_size, seed=settings.seed,
                                        device=run.device)  # fmt: skip
        fit(
            slim, Rounds(batches, self.round_steps), settings, run=run, about={"net": model.net},
            objective=dictation.objective(teacher, task, assets, share=self.share,
                                          temperature=self.temperature),
            judge=supervised.judge(task, data, assets, device=run.device,
                                   num_rows=max(1, JUDGED_TOKENS // assets["max_tokens"])),
        )  # fmt: skip


def _cut(model: Model, data: Dataset, sizes: Sizes, by: str, seed: int, run: Run) -> nn.Module:
    """What is left of a net, and a note on what went."""
    net, batches = trimming.require(backend.module_of(model)), _asked(model, data, seed)
    with execution.in_force(Execution(), "cpu"):  # one thread, float32: equal bits anywhere
        now = Sizes.of(net)
        gone = trimming.least_missed(net, batches, now.layers - sizes.layers, by)
        short = trimming.shorter(net, gone)
        slim = trimming.narrower(short, trimming.importance(short, batches), sizes)
    said = [f"layers {', '.join(map(str, gone))} of {now.layers} go"] if gone else []
    said += [f"{left} of {had} {what} stay in each layer" for what, left, had in
             (("groups of heads", sizes.groups, now.groups), ("columns", sizes.hidden, now.hidden))
             if left < had]  # fmt: skip
    run.emit("note", text="; ".join(said))
    return slim


def _asked(model: Model, data: Dataset, seed: int) -> list[Batch]:
    """Some train rows, one at a time."""
    rows_NT = calibration(data, model, max(1, ASKED_TOKENS // model.assets["max_tokens"]), seed)
    task, rows = task_of(model.task), torch.from_numpy(rows_NT).split(1)
    return [(task.inputs(row, model.assets), telling.told_of(row)) for row in rows]


def _wrapped(model: Model, slim: nn.Module) -> Model:
    _, options = getattr(slim, architecture.ORIGIN)
    return model.with_weights(backend.arrays_of(slim), options=options)


def _tell(model: Model, made: Model, run: Run) -> None:
    """Says what went of numbers and of a token's time: fewer numbers are not always less time."""
    said = f"{count_text(model.num_params)} -> {count_text(made.num_params)} numbers"
    if not gptfile.is_for(made):
        run.emit("note", text=f"{said}; not timed: its heads have no graph with a cache")
        return
    found = run.decide("token_ms", lambda: fewbits.token_ms(
        {"before": fewbits.whole(model), "after": fewbits.whole(made)}))  # fmt: skip
    gain = found["before"] / max(found["after"], 1e-9)
    run.emit("note", text=f"{said}, one token {found['before']:.3g} -> {found['after']:.3g} ms ({gain:.2f}x)"
             " on one thread")  # fmt: skip
    if gain < FASTER:
        run.emit("warning", text=f"trimmed, but a token is not faster here: {gain:.2f}x")
