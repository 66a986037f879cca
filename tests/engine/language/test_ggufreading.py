"""A Llama in a GGUF file says what it said before it was written there."""

import json

import numpy as np
import pytest
import torch
from languages import drawn, llama_folder

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.data import tokenizer
from lichen.engine.language import ggufreading, ggufwriting, llama, llamafolder
from lichen.engine.modules import backend

gguf = pytest.importorskip("gguf")
SIZES = {"mlp": "swiglu", "qk_norm": False, "num_kv_heads": 1, "width": 64, "hidden": 96}
CHAT = "{{ '<|end|>' + messages[0]['content'] }}"


def written(model, path, *, kind="F32", architecture="llama", before="gpt-2", chat=""):
    """A file as llama.cpp's own converter lays it out."""
    net = backend.module_of(model)
    config, tensors = llama.config_of(net), llama.tensors_of(net)
    out = gguf.GGUFWriter(path, architecture)
    for name, theirs in ggufreading.SIZES.items():
        number = config[name]
        (out.add_float32 if isinstance(number, float) else out.add_uint32)(f"llama.{theirs}", number)
    out.add_float32("llama.rope.freq_base", config["rope_parameters"]["rope_theta"])
    file = json.loads(tokenizer.written(model.assets["tokenizer"]))
    words = sorted(file["model"]["vocab"], key=file["model"]["vocab"].get)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(before)
    out.add_token_list(words)
    out.add_token_types([3 if word.startswith("<|") else 1 for word in words])
    out.add_token_merges([" ".join(merge) for merge in file["model"]["merges"]])
    out.add_bos_token_id(1)
    out.add_eos_token_id(1)
    if chat:
        out.add_chat_template(chat)
    names = {theirs: ours for ours, theirs in {**ggufreading.OUTER, **ggufreading.LAYERS}.items()}
    for name, tensor in tensors.items():
        stem, leaf = name.rsplit(".", 1)
        layer = stem.split(".", 3)
        ours = names[stem] if stem in names else f"blk.{layer[2]}.{names[layer[3]]}"
        numbers = tensor.numpy()
        if ours.endswith(("attn_q", "attn_k")):
            heads = config["num_attention_heads" if ours.endswith("q") else "num_key_value_heads"]
            halves = numbers.reshape(heads, 2, -1, numbers.shape[1])
            numbers = halves.swapaxes(1, 2).reshape(numbers.shape)
        how = getattr(
            gguf.GGMLQuantizationType, kind if numbers.ndim == 2 and numbers.shape[1] % 32 == 0 else "F32"
        )
        out.add_tensor(
            f"{ours}.{leaf}", gguf.quants.quantize(np.ascontiguousarray(numbers), how), raw_dtype=how
        )
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


@pytest.fixture(scope="module")
def model():
    return drawn(size=300, **SIZES)


def test_a_file_is_adopted_with_the_answers_that_it_was_written_with(model, tmp_path):
    found = li.pretrain.adopt(str(written(model, tmp_path / "small.gguf")))
    assert found.net == "gpt" and found.assets["max_tokens"] == model.assets["max_tokens"]
    for text in ["moss on the stone", "café 😀\n\n 12"]:
        assert found.predict(text)[0]["loss"] == pytest.approx(model.predict(text)[0]["loss"], abs=1e-5)
    assert found.generate("moss", temperature=0) == model.generate("moss", temperature=0)


def test_quantized_weights_become_the_numbers_that_they_stand_for(model, tmp_path):
    found = li.pretrain.adopt(str(written(model, tmp_path / "small.gguf", kind="Q8_0")))
    exact, near = (one.weights()["blocks.0.mlp.up.weight"].numpy() for one in (model, found))
    steps = np.abs(exact).reshape(-1, 32).max(1) / 127
    apart = np.abs(exact - near).reshape(-1, 32).max(1)
    assert apart.max() > 0 and (apart <= 0.6 * steps).all()


def test_what_begins_turns_of_a_conversation_begins_no_document(model, tmp_path):
    found = li.pretrain.adopt(str(written(model, tmp_path / "chat.gguf", chat=CHAT)))
    teller = tokenizer.of(found.assets["tokenizer"])
    turn = teller.encode(["<|end|>"])[0].tolist()
    assert teller.end not in turn or found.options["end"] == teller.end


def test_what_cannot_be_read_is_named(model, tmp_path):
    (tmp_path / "no.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(DataError, match="no GGUF file, or a damaged one"):
        li.pretrain.adopt(str(tmp_path / "no.gguf"))
    (tmp_path / "weights.txt").write_text("moss")
    with pytest.raises(DataError, match="or a GGUF file"):
        li.pretrain.adopt(str(tmp_path / "weights.txt"))
    with pytest.raises(UsageError, match="splits texts as `tekken`"):
        ggufreading.read(written(model, tmp_path / "odd.gguf", before="tekken"))
    with pytest.raises(UsageError, match="not a `starcoder`"):
        ggufreading.read(written(model, tmp_path / "other.gguf", architecture="starcoder"))


@pytest.mark.parametrize("kind", [3, 4])
def test_a_token_apart_from_pieces_is_not_taken_for_letters(kind, tmp_path, monkeypatch):
    """A template that begins turns with it would be read letter by letter."""
    model = llamafolder.read(llama_folder(tmp_path / "small"))
    ggufwriting.write(model, tmp_path / "plain.gguf", "f32")
    assert ggufreading.read(tmp_path / "plain.gguf").assets["tokenizer"]["kind"] == "pieces"
    usual = ggufwriting._kind
    monkeypatch.setattr(
        ggufwriting, "_kind", lambda _, word, *about: kind if word == "moss" else usual(_, word, *about)
    )
    ggufwriting.write(model, tmp_path / "turns.gguf", "f32")
    with pytest.raises(UsageError, match="no token apart from them; this one has `moss`"):
        ggufreading.read(tmp_path / "turns.gguf")


@pytest.mark.slow
@torch.no_grad()
def test_transformers_reads_the_same_logits_out_of_the_file(model, tmp_path):
    path = written(model, tmp_path / "small.gguf", kind="Q8_0")
    ours, theirs = (li.pretrain.adopt(str(path), net=net) for net in ("gpt", "hf"))
    assert theirs.net == "hf/llama"
    size = tokenizer.of(ours.assets["tokenizer"]).size
    x = torch.randint(3, size, (2, 15), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(theirs.torch()(x), ours.torch()(x), atol=1e-4, rtol=1e-4)
