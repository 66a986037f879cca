"""snippets: Python that answers about one picture with a runtime alone, for what is exported."""

from __future__ import annotations

from lichen.core.model import Model
from lichen.core.program import Program


def of(value: Model | Program, format: str) -> str:
    """Python that answers about one picture with nothing but the runtime."""
    if "tokenizer" in value.assets:
        return {"lichen": TEXTS_LICHEN, "llama": TEXTS_LLAMA}.get(format, TEXTS_SAFETENSORS)
    if format == "lichen":
        return LICHEN
    channels, height, width = value.assets["image_shape"]
    mode, axes = ("L", "[None, None]") if channels == 1 else ("RGB", ".transpose(2, 0, 1)[None]")
    head = PICTURE.format(mode=mode, width=width, height=height, axes=axes)
    if isinstance(value, Model):
        return head + SAFETENSORS
    alone = {"onnxruntime": ONNXRUNTIME, "executorch": EXECUTORCH, "torch": TORCH}
    if value.runtime in alone:
        return head + alone[value.runtime]
    file = "model.onnx" if format == "onnx" else "model.xml"
    return head + OPENVINO.format(file=file, precision="bf16" if value.precision == "bfloat16" else "f32")


PICTURE = """import json, numpy
from PIL import Image, ImageOps
picture = ImageOps.exif_transpose(Image.open("picture.png")).convert("{mode}").resize(({width}, {height}), 2)
pixels = numpy.ascontiguousarray(numpy.asarray(picture){axes})
"""
SAYS = """print(json.load(open("labels.json"))[int(outputs[0].argmax())])
"""
ONNXRUNTIME = (
    """import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
outputs = session.run(None, {session.get_inputs()[0].name: pixels})[0]
"""
    + SAYS
)
OPENVINO = (
    """import openvino
network = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "{precision}"}})
outputs = network([pixels])[0]
"""
    + SAYS
)
EXECUTORCH = (
    """import torch
from executorch.runtime import Runtime
method = Runtime.get().load_program("model.pte").load_method("forward")  # 1 to 32 pictures at once
(outputs,) = method.execute([torch.tensor(pixels)])
"""
    + SAYS
)
TORCH = (
    """import torch
outputs = torch.export.load("model.pt2").module()(torch.tensor(pixels))  # only files that you trust
"""
    + SAYS
)
SAFETENSORS = (
    """import torch
from safetensors.torch import load_file
from lichen.engine import architecture, backend, views
about, tensors = json.load(open("model.json")), load_file("model.safetensors")
module = architecture.shape_to(backend.build(about["net"], about["options"]), tensors).eval()
module.load_state_dict(tensors)
mean, std = (torch.tensor(about["assets"][name])[:, None, None] for name in ("mean", "std"))
outputs = views.answered(module, (torch.tensor(pixels) / 255 - mean) / std, about["assets"])
"""
    + SAYS
)
TEXTS_SAFETENSORS = """import json
from safetensors.torch import load_file
from lichen.data import tokenizer
from lichen.engine import architecture, backend
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
TEXTS_LICHEN = """import lichen as li
print(li.open("model.lichen").predict("a text"))
"""
LICHEN = """import lichen as li
print(li.open("model.lichen").predict("picture.png")[0]["label"])
"""
