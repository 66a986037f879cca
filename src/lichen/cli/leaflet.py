"""leaflet: the README beside what is exported: what goes in, what comes out, how to ask it."""

from __future__ import annotations

from lichen.cli import snippets
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data import encoder
from lichen.engine.inputs import feeds


def of(value: Model | Program, format: str, name: str, checked: str) -> str:
    """What goes in, what comes out, and Python that asks."""
    what = f"{value.precision} {value.format} program" if isinstance(value, Program) else value.net
    if feeds.reads_texts(value.assets):
        return _of_texts(value, format, f"{name}: {what} for {value.task}", checked)
    if "encoder" in value.assets:
        return _of_table(value, format, f"{name}: {what} for {value.task}", checked)
    if "observation_shape" in value.assets:
        return _of_policy(value, format, f"{name}: {what} for {value.task}", checked)
    channels, height, width = value.assets["image_shape"]
    if "made_shape" in value.assets:
        return f"""{name}: {what} for {value.task}

input    uint8 (N, 1, 1, {width}): a class by its place in labels.json, then {width - 1} bytes drawn at random
output   float32 (N, {", ".join(map(str, value.assets["made_shape"]))}): N pictures, black -1, white 1
checked  {checked}
"""
    colour = "grey" if channels == 1 else "red, green, blue"
    inside = "by mean and std of model.json, as below" if format == "safetensors" else "inside"
    labels = value.assets.get("labels") or []
    return f"""{name}: {what} for {value.task}

input    uint8 (N, {channels}, {height}, {width}): N pictures, {colour}, {height} x {width} pixels, 0 to 255
normal   {inside}
output   float32 (N, {len(labels)}): one number per class in the order of labels.json; the largest wins
checked  {checked}

{snippets.of(value, format)}"""


def _of_texts(value: Model | Program, format: str, title: str, checked: str) -> str:
    length, num_tokens = feeds.in_shape(value.assets)
    what = f"tokens of N texts, {length} at most, of {num_tokens} different ones"
    if feeds.are_paired(value.assets):
        what = ("N pairs, halves filled up with 0: tokens of a source and 1; then 1, those of its target, 1"
                f"\n         {length} of a text at most, of {num_tokens} different ones")  # fmt: skip
    place = {"lichen": "model.lichen", "safetensors": "model.json"}.get(format, "tokenizer.json")
    place = "model.gguf" if format.startswith("gguf") else place
    base = ""
    if isinstance(value, Model) and format == "peft":
        base = f"\nbase     {value.face['base'][:10]}: the adapter answers on no other"
    return f"""{title}

input    int32 (N, T): {what}
tokens   by the tokenizer in {place}
checked  {checked}{base}

{snippets.of(value, format)}"""


def _of_table(value: Model | Program, format: str, title: str, checked: str) -> str:
    """Of a classifier of rows, or of what makes them."""
    about = value.assets
    width = encoder.of(about["encoder"]).width
    place = "model.lichen" if format == "lichen" else "encoder.json"
    taken = f"float32 (N, {width}): N rows of a table as numbers, by {place}"
    classes = len(about["labels"])
    given = f"float32 (N, {classes}): one number per class in the order of labels.json; the largest wins"
    if "num_codes" in about:
        length = about["num_codes"]
        taken = (
            f"uint8 (N, 1, 1, {1 + length}): a class by its place in labels.json, {length} bytes by chance"
        )
        given = f"float32 (N, {width}): N rows of a table as numbers, to be read by {place}"
    return f"""{title}

input    {taken}
output   {given}
checked  {checked}

{snippets.of(value, format)}"""


def _of_policy(value: Model | Program, format: str, title: str, checked: str) -> str:
    about = value.assets
    seen = ", ".join(map(str, about["observation_shape"]))
    told = (
        f"{len(about['labels'])}): one number per action in the order of labels.json; the largest is taken"
        if "labels" in about else
        f"{len(about['action_low'])}): -1 is {about['action_low']}, 1 is {about['action_high']}; "
        "cut off, it is the action"
    )  # fmt: skip
    normal = "as `lichen.engine.inputs.observations` does it" if "mean" in about else "as they are"
    return f"""{title}

input    float32 (N, {seen}): N observations
normal   {normal if format == "safetensors" else "inside"}
output   float32 (N, {told}
checked  {checked}

{snippets.of(value, format)}"""
