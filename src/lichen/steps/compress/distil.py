"""distil: a student net learns from a teacher's answers, and from where it looks, as well as from labels.

A generator's student learns to make what its teacher makes, see `engine/generation/imitation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Net, Positive, Seed
from lichen.core.step import step
from lichen.core.value import count_text
from lichen.engine.compression import dictation, distillation
from lichen.engine.compression.distillation import Lessons, Student
from lichen.engine.fit import Settings, fit
from lichen.engine.generation import drawing, imitation
from lichen.engine.inputs import feeds
from lichen.engine.modules import architecture, backend, macs
from lichen.engine.task import task_of
from lichen.engine.training import masking, supervised

OWN = ("views", masking.ASSET)
"""Assets that say how the teacher itself answers and is kept, not what a student learns from it."""


@step(without="student")
def distil(
    model: Model,
    data: Dataset,
    student: Model | None = None,
    *,
    net: Net = "cnn",
    net_options: dict | None = None,
    distillation_share: Fraction = 0.9,
    temperature: Positive = 4.0,
    features: Literal["none", "hints", "attention"] = "none",
    feature_weight: Positive = 1.0,
    epochs: Count = 10,
    batch_size: Count | None = None,
    optimizer: Literal["sgd", "adam", "adamw", "muon_adamw"] = "sgd",
    rate: Positive | None = None,
    weight_decay: Positive = 0.0005,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Trains a student on the train rows, the model being its teacher; both see the same augmented pictures.

    Both read texts through one tokenizer; a language model is compared with its teacher at every token. A
    generator is compared with its teacher by what both make of equal codes, for the classes of the rows, and
    by that alone: share and temperature mean nothing to it.

    Args:
        student: what learns further; None: a fresh net. It keeps the teacher's labels and normalisation.
        net: of a fresh student.
        net_options: what the net's builder takes, such as {"width": 256}.
        distillation_share: of the loss, that compares outputs with the teacher's; the rest is that of labels.
        temperature: softens both outputs, so that what the teacher holds possible counts too.
        features: also compared where both nets have maps of equal height and width: hints through a learnt
            convolution, or attention, which is where they answer and not what.
        feature_weight: what the distance between feature maps adds to the loss.
        epochs: over the train rows, as the data's policy varies them.
        batch_size: rows per step over all processes; None: 128, fewer where the train rows are few.
        rate: the peak rate; None: the optimizer's usual one.
        precision: of the arithmetic; auto: the fastest on this machine, a recorded decision.

    Raises:
        UsageError: the student answers another task or other labels, has no feature map to compare, reads
            texts through another tokenizer, or is a generator of other rows.
    """
    task, assets = task_of(model.task), model.assets
    task.check(data, "train")
    _require_comparable(model, data, features)
    teacher = backend.module_of(model)
    lessons = Lessons(
        share=distillation_share, temperature=temperature, features=features, feature_weight=feature_weight
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        small = _fresh(net, net_options or {}, model, teacher) if student is None else _known(student, model)
        is_alone = feeds.are_packed(assets) or feeds.are_codes(assets)
        learner = small if is_alone else Student(small, teacher, lessons, _shape(model))
    settings = Settings(
        epochs=epochs,
        optimizer=optimizer,
        rate=rate,
        weight_decay=weight_decay,
        precision=precision,
        seed=seed,
    )
    teacher.to(run.device)
    batches = supervised.batches_of(data, assets, batch_size=batch_size, seed=seed, device=run.device)
    with masking.kept(small, student.assets if student else {}):
        fit(
            learner, batches, settings, run=run,
            objective=imitation.objective(teacher, assets) if feeds.are_codes(assets)
            else distillation.objective(teacher, task, assets, lessons),
            about={"net": student.net if student else net, "teacher": model.net, "features": features},
            judge=supervised.judge(task, data, assets, device=run.device,
                                   num_rows=supervised.num_judged(data)),
        )  # fmt: skip
    run.emit("note", text=_fewer(teacher, small.to("cpu").eval(), model))
    taken = {name: asset for name, asset in assets.items() if name not in OWN}
    if student is None:
        return backend.wrap(small, task=model.task, assets=taken)
    return student.with_weights(backend.arrays_of(small), assets={**student.assets, **taken})


def _require_comparable(model: Model, data: Dataset, features: str) -> None:
    """Refuses a teacher whose answers, or whose feature maps, are not compared."""
    assets = model.assets
    if feeds.are_paired(assets):
        raise UsageError("translators have no student here: what they say of pairs is not compared")
    if features != "none" and (feeds.reads_texts(assets) or feeds.are_codes(assets)):
        what = "texts" if feeds.reads_texts(assets) else "codes"
        raise UsageError(f"{what} have no feature maps of equal size to compare", hint="features='none'")
    if feeds.are_codes(assets):
        drawing.of(model, data, None, device="cpu")


def _fresh(net: str, options: dict, model: Model, teacher: nn.Module) -> nn.Module:
    """A net that takes what the teacher takes and answers as many outputs."""
    if feeds.are_codes(model.assets):
        return imitation.fresh(net, options, model, teacher)
    shape = tuple(_shape(model))
    num_outputs = model.options.get("num_outputs") if feeds.reads_texts(model.assets) else None
    if num_outputs is None:
        with torch.inference_mode():
            num_outputs = teacher(torch.zeros(1, *shape)).shape[1]
    return architecture.build(net, options, shape, num_outputs)


def _shape(model: Model) -> Sequence[int]:
    """What a row is: of texts (T, V)."""
    return feeds.in_shape(model.assets) if feeds.reads_texts(model.assets) else feeds.shape(model.assets)


def _fewer(teacher: nn.Module, student: nn.Module, model: Model) -> str:
    """What the student needs less of: work for a picture, numbers that a text or a code meets."""
    if feeds.reads_texts(model.assets) or feeds.are_codes(model.assets):
        what, work = "numbers", [sum(one.numel() for one in net.parameters()) for net in (teacher, student)]
    else:
        shape = feeds.shape(model.assets)
        what, work = "multiply-accumulates", [macs.count(net.to("cpu"), shape) for net in (teacher, student)]
    return (f"{what} of the teacher {count_text(work[0])}, of the student {count_text(work[1])}"
            f" ({work[0] / work[1]:.2f}x fewer)")  # fmt: skip


def _known(student: Model, model: Model) -> nn.Module:
    dictation.require_same_words(student, model)
    for name in ("labels", "image_shape", "observation_shape", "encoder", "made_shape"):
        if student.assets.get(name) != model.assets.get(name):
            raise UsageError(f"the student's {name} must be the teacher's")
    if student.task != model.task:
        raise UsageError(f"the student's task must be the teacher's, {model.task}; it is {student.task}")
    return backend.module_of(student)
