"""snippets: Python that answers about one row with a runtime alone, for what is exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data import tokenizer


def of(value: Model | Program, format: str) -> str:
    """Python that answers about one picture, text, row or observation with nothing but the runtime."""
    if "encoder" in value.assets:
        return _of_table(value, format)
    if format.startswith("gguf"):
        return TEXTS_GGUF
    if format == "onnx" and value.assets.get("is_packed"):
        return TEXTS_TOLD.format(length=value.assets["max_tokens"])
    if "tokenizer" in value.assets and (isinstance(value, Model) or format == "lichen"):
        texts = {"lichen": TEXTS_LICHEN, "llama": TEXTS_LLAMA, "peft": TEXTS_PEFT}
        return texts.get(format, TEXTS_SAFETENSORS)
    is_policy = "observation_shape" in value.assets
    if format == "lichen":
        return ACTS_LICHEN.format(shape=value.assets["observation_shape"]) if is_policy else LICHEN
    asked = SAYS if value.assets.get("labels") else TELLS
    if isinstance(value, Model):
        return _head(value) + SAFETENSORS + (SEEN if is_policy else NORMAL) + asked
    return _head(value) + _run(value, format) + asked


def _of_table(value: Model | Program, format: str) -> str:
    """The class of a row of cells, or a row that is made of a class."""
    about, is_maker = value.assets, "num_codes" in value.assets
    label, cells = about["labels"][0], {one["name"]: _usual(one) for one in about["encoder"]}
    if format == "lichen":
        return MAKES_LICHEN.format(label=label) if is_maker else TELLS_LICHEN.format(cells=cells)
    head = CODE.format(label=label, length=1 + about["num_codes"]) if is_maker else CELLS.format(cells=cells)
    run = SAFETENSORS + (MAKES if is_maker else SEEN) if isinstance(value, Model) else _run(value, format)
    return head + run + (CELL if is_maker else SAYS)


def _usual(column: Mapping[str, Any]) -> Any:
    """A cell of a column as an example."""
    return column["levels"][0] if column["kind"] == "levels" else round(column.get("mean", 0.0), 3)


def _run(program: Program, format: str) -> str:
    """What makes `outputs` of `row`."""
    alone = {"onnxruntime": ONNXRUNTIME, "executorch": EXECUTORCH, "torch": TORCH}
    if program.runtime in alone:
        return alone[program.runtime]
    file = "model.onnx" if format == "onnx" else "model.xml"
    precision = "bf16" if program.precision == "bfloat16" else "f32"
    return OPENVINO.format(file=file, precision=precision)


def _head(value: Model | Program) -> str:
    """One row: a text, a picture from its file, or an observation of nothing."""
    if "observation_shape" in value.assets:
        return OBSERVATION.format(shape=", ".join(map(str, value.assets["observation_shape"])))
    if "tokenizer" in value.assets:
        has_around = bool(tokenizer.of(value.assets["tokenizer"]).opening)
        return TEXT.format(around=has_around, length=value.assets["max_tokens"])
    channels, height, width = value.assets["image_shape"]
    mode, axes = ("L", "[None, None]") if channels == 1 else ("RGB", ".transpose(2, 0, 1)[None]")
    return PICTURE.format(mode=mode, width=width, height=height, axes=axes)


PICTURE = """import json, numpy
from PIL import Image, ImageOps
picture = ImageOps.exif_transpose(Image.open("picture.png")).convert("{mode}").resize(({width}, {height}), 2)
row = numpy.ascontiguousarray(numpy.asarray(picture){axes})
"""
OBSERVATION = """import json, numpy
row = numpy.zeros((1, {shape}), "float32")  # what is seen
"""
TEXT = """import json, numpy
from tokenizers import Tokenizer
read = Tokenizer.from_file("tokenizer.json")
read.no_padding()
row = numpy.array([read.encode("a text", add_special_tokens={around}).ids[:{length}]], numpy.int32)
"""
CELLS = """import json, numpy
def numbers(cell, about):
    if about["kind"] == "levels":
        return [float(cell == level) for level in about["levels"]]
    far = 0.0 if cell is None else (cell - about["mean"]) / about["std"]
    return [min(max(far, -10.0), 10.0)] + [float(cell is None)] * about["has_empty"]
columns = json.load(open("encoder.json"))
cells = {cells}  # None where one is empty
row = numpy.array([[x for one in columns for x in numbers(cells[one["name"]], one)]], "float32")
"""
CODE = """import json, numpy
columns, labels = json.load(open("encoder.json")), json.load(open("labels.json"))
row = numpy.random.randint(0, 256, (1, 1, 1, {length}), "uint8")
row[..., 0] = labels.index({label!r})
"""
CELL = """def cell(told, about):
    if about["kind"] == "levels":
        return about["levels"][told.argmax()]
    mode = told[1:].argmax()
    if mode == len(about["means"]):
        return None
    number = about["means"][mode] + 4.0 * float(told[0]) * about["stds"][mode]
    number = min(max(number, about["low"]), about["high"])
    return round(number) if about["is_whole"] else number
made, at = {}, 0
for one in columns:
    width = len(one["levels"]) if one["kind"] == "levels" else 1 + len(one["means"]) + one["has_empty"]
    made[one["name"]], at = cell(outputs[0, at : at + width], one), at + width
print(made)
"""
SAYS = """print(json.load(open("labels.json"))[int(outputs[0].argmax())])
"""
TELLS = """print(outputs[0].tolist())
"""
ONNXRUNTIME = """import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
outputs = session.run(None, {session.get_inputs()[0].name: row})[0]
"""
OPENVINO = """import openvino
network = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "{precision}"}})
outputs = network([row])[0]
"""
EXECUTORCH = """import torch
from executorch.runtime import Runtime
method = Runtime.get().load_program("model.pte").load_method("forward")  # 1 to 32 pictures at once
(outputs,) = method.execute([torch.tensor(row)])
"""
TORCH = """import torch
outputs = torch.export.load("model.pt2").module()(torch.tensor(row)).detach()  # only files that you trust
"""
SAFETENSORS = """import torch
from safetensors.torch import load_file
from lichen.engine.inputs import observations
from lichen.engine.modules import architecture, backend, views
about, tensors = json.load(open("model.json")), load_file("model.safetensors")
module = architecture.shape_to(backend.build(about["net"], about["options"]), tensors).eval()
module.load_state_dict(tensors)
"""
NORMAL = """mean, std = (torch.tensor(about["assets"][name])[:, None, None] for name in ("mean", "std"))
outputs = views.answered(module, (torch.tensor(row) / 255 - mean) / std, about["assets"])
"""
SEEN = """outputs = module(observations.inputs(torch.tensor(row), about["assets"]))
"""
MAKES = """from lichen.engine.inputs import codes
outputs = module(codes.inputs(torch.tensor(row), len(labels))).detach().numpy()
"""
TEXTS_SAFETENSORS = """import json
from safetensors.torch import load_file
from lichen.data import tokenizer
from lichen.engine.modules import architecture, backend
about, tensors = json.load(open("model.json")), load_file("model.safetensors")
module = architecture.shape_to(backend.build(about["net"], about["options"]), tensors).eval()
module.load_state_dict(tensors)
read = tokenizer.of(about["assets"]["tokenizer"])
"""
TEXTS_LLAMA = """import transformers
model = transformers.LlamaForCausalLM.from_pretrained(".")
read = transformers.PreTrainedTokenizerFast(tokenizer_file="tokenizer.json")
told = model.generate(**read("a text", return_tensors="pt"), max_new_tokens=20)
print(read.decode(told[0], skip_special_tokens=True))
"""
TEXTS_PEFT = """import peft, transformers
base = transformers.LlamaForCausalLM.from_pretrained("BASE")  # the base, written with --format llama
model = peft.PeftModel.from_pretrained(base, ".")
read = transformers.PreTrainedTokenizerFast(tokenizer_file="tokenizer.json")
told = model.generate(**read("a text", return_tensors="pt"), max_new_tokens=20)
print(read.decode(told[0], skip_special_tokens=True))
"""
TEXTS_GGUF = """import transformers  # or: llama-cli -m model.gguf -p "a text"
model = transformers.AutoModelForCausalLM.from_pretrained(".", gguf_file="model.gguf")
read = transformers.AutoTokenizer.from_pretrained(".", gguf_file="model.gguf")
told = model.generate(**read("a text", return_tensors="pt"), max_new_tokens=20)
print(read.decode(told[0], skip_special_tokens=True))
"""
TEXTS_TOLD = """import numpy, onnxruntime, tokenizers
session = onnxruntime.InferenceSession("model.onnx")
read = tokenizers.Tokenizer.from_file("tokenizer.json")
kept = {{one.name: numpy.zeros((1, one.shape[1], {length}, one.shape[3]), "float32")
        for one in session.get_inputs() if "." in one.name}}
numbers, total = read.encode("a text").ids, 0
while len(numbers) < {length}:  # the graph fills `kept` further; `bias` hides what is not to be seen
    new = numpy.array([numbers[total:]], "int32")
    total = len(numbers)
    found = session.run(None, {{
        "tokens": new, "lengths": numpy.array([total - 1], "int32"), "total": numpy.array([total], "int32"),
        "bias": numpy.zeros((1, 1, new.shape[1], total), "float32"), "places": numpy.array([-1]), **kept}})
    kept = dict(zip(kept, found[1:]))
    numbers.append(int(found[0][0, -1, 1:].argmax()) + 1)
print(read.decode(numbers))
"""
TEXTS_LICHEN = """import lichen as li
print(li.open("model.lichen").predict("a text"))
"""
LICHEN = """import lichen as li
print(li.open("model.lichen").predict("picture.png")[0]["label"])
"""
TELLS_LICHEN = """import lichen as li
print(li.open("model.lichen").predict({cells})[0]["label"])
"""
MAKES_LICHEN = """import lichen as li
print(li.open("model.lichen").predict({label!r})[0]["row"])
"""
ACTS_LICHEN = """import lichen as li, numpy
print(li.open("model.lichen").predict(numpy.zeros({shape}, "float32"))[0]["action"])
"""
