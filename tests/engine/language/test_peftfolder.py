"""A folder that peft opens by itself, on the Llama that the base is, says what the adapter says."""

import json

import pytest
import torch
from languages import drawn
from safetensors.torch import load_file, save_file

import lichen as li
from lichen.core.errors import AdapterError, UsageError
from lichen.engine.language import llama, peftfolder
from lichen.engine.training import adapters

peft = pytest.importorskip("peft")
pytest.importorskip("transformers")
LLAMA = {"mlp": "swiglu", "qk_norm": False, "depth": 1, "num_kv_heads": 1}


def tuned(method, start, **more):
    data = li.conversations([{"prompt": f"say {row}", "answer": "moss " * 2} for row in range(20)])
    return li.adapt.instruct(start, data, method=method, epochs=1, rank=2, rate=0.05, precision="float32",
                             num_virtual=3, **more)  # fmt: skip


@pytest.mark.parametrize("method", [
    "lora", "prompt", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rslora", "dora", "ia3"))
])  # fmt: skip
def test_peft_opens_it_on_the_llama_of_the_base(tmp_path, method):
    model = tuned(method, drawn(max_tokens=64, **LLAMA))
    peftfolder.write(model, tmp_path)
    about = json.loads((tmp_path / "adapter_config.json").read_text())
    assert about["task_type"] == "CAUSAL_LM" and isinstance(
        about.get("target_modules", []), list | type(None)
    )
    with adapters.quietly():  # both libraries warn of themselves
        theirs = peft.PeftModel.from_pretrained(llama.module_of(model.base().torch()), tmp_path).eval()
    numbers = torch.randint(4, 260, (2, 12), generator=torch.Generator().manual_seed(0))
    read = numbers
    if method == "prompt":
        read = torch.cat([260 + torch.arange(3).expand(2, 3), numbers], 1)
    read = read.clone()
    read[:, 0] = ~read[:, 0]
    with torch.no_grad():
        wanted, found = model.torch()(read.int()), theirs(input_ids=numbers).logits
        base = llama.module_of(model.base().torch())(input_ids=numbers).logits
    torch.testing.assert_close(found, wanted[:, -found.shape[1] :], rtol=1e-4, atol=1e-4)
    assert (base - found[:, -12:]).abs().max() > 1e-2
    assert peftfolder.read(tmp_path, model).weights().keys() == model.weights().keys()


def test_layers_are_named_by_their_ends_where_that_is_all(tmp_path):
    some = tuned("lora", drawn(max_tokens=64, **LLAMA), targets=["query", "value"])
    peftfolder.write(some, tmp_path / "a")
    assert json.loads((tmp_path / "a" / "adapter_config.json").read_text())["target_modules"] == [
        "q_proj",
        "v_proj",
    ]
    two = tuned("lora", drawn(max_tokens=64, **{**LLAMA, "depth": 2}), targets=["blocks.1.mlp.up"])
    peftfolder.write(two, tmp_path / "b")
    about = json.loads((tmp_path / "b" / "adapter_config.json").read_text())
    assert about["target_modules"] == ["model.layers.1.mlp.up_proj"]


def test_a_net_that_is_no_llama_goes_by_its_own_names(tmp_path):
    model = tuned("lora", drawn(max_tokens=64, depth=1))
    peftfolder.write(model, tmp_path)
    assert any(
        "blocks.0.attention.query" in name for name in load_file(tmp_path / "adapter_model.safetensors")
    )
    torch.testing.assert_close(
        peftfolder.read(tmp_path, model).torch().state_dict(), model.torch().state_dict()
    )
    with pytest.raises(UsageError, match="before a Llama"):
        peftfolder.write(tuned("prompt", drawn(max_tokens=64, depth=1)), tmp_path)


def test_a_damaged_file_is_not_what_was_meant(tmp_path):
    """The check of an export opens what was written, so it must see a number that is another."""
    model = tuned("lora", drawn(max_tokens=64, **LLAMA))
    peftfolder.write(model, tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = next(name for name in tensors if "lora_B" in name)
    save_file({**tensors, name: tensors[name] + 0.1}, tmp_path / "adapter_model.safetensors")
    assert peftfolder.read(tmp_path, model).predict("moss") != model.predict("moss")


def test_only_an_adapter_is_written(tmp_path):
    with pytest.raises(AdapterError, match="this model has none"):
        peftfolder.write(drawn(max_tokens=64, **LLAMA), tmp_path)
    assert adapters.library() is peft
