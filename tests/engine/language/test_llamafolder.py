"""A language model leaves as a folder that transformers opens, and comes back the same."""

import json

import numpy as np
import pytest
from languages import drawn, llama_folder

from lichen.core.errors import UsageError
from lichen.data import chat, tokenizer
from lichen.engine.language import llamafolder

LLAMA = {"mlp": "swiglu", "qk_norm": False, "num_kv_heads": 1}
TEXTS = ["moss on the stone", "", "café 😀\n\n", "<|end|> lichen"]


@pytest.fixture(scope="module")
def model():
    return drawn(size=300, **LLAMA)


@pytest.fixture
def folder(model, tmp_path):
    llamafolder.write(model, tmp_path)
    return tmp_path


def test_what_was_written_comes_back_with_the_same_answers(model, folder):
    found = llamafolder.read(folder)
    for text in TEXTS[:3]:
        assert found.predict(text) == model.predict(text)
    assert found.generate(TEXTS[0], temperature=0) == model.generate(TEXTS[0], temperature=0)
    assert found.assets["max_tokens"] == model.assets["max_tokens"]
    again = folder / "again"
    again.mkdir()
    llamafolder.write(found, again)
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_a_written_tokenizer_tells_the_same_numbers(model, folder):
    import tokenizers

    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ours = tokenizer.of(model.assets["tokenizer"])
    for text in TEXTS[:3]:
        assert theirs.encode(text).ids == [ours.end, *ours.encode([text])[0]]
        assert theirs.decode(theirs.encode(text).ids, skip_special_tokens=True) == text


def test_pieces_come_back_too(tmp_path):
    first = llamafolder.read(llama_folder(tmp_path / "first"))
    (tmp_path / "second").mkdir()
    llamafolder.write(first, tmp_path / "second")
    second = llamafolder.read(tmp_path / "second")
    assert second.predict("moss bark") == first.predict("moss bark")
    assert json.loads((tmp_path / "second" / "config.json").read_text())["eos_token_id"] == [1, 2]


def test_a_template_goes_along_and_comes_back(model, tmp_path):
    asset = model.assets["tokenizer"]
    spoken = model.with_weights(model.weights(), assets={**model.assets, "template": chat.plain(asset)})
    llamafolder.write(spoken, tmp_path)
    found = llamafolder.read(tmp_path)
    assert found.assets["template"] == spoken.assets["template"]
    talk = [{"role": "user", "content": "moss"}]
    assert chat.of(found.assets).prompt(talk).tolist() == chat.of(spoken.assets).prompt(talk).tolist()
    assert json.loads((tmp_path / "config.json").read_text())["eos_token_id"] == [1, chat.TURN]
    assert found.generate(talk, temperature=0) == spoken.generate(talk, temperature=0)


def test_what_no_llama_computes_is_not_written(tmp_path):
    with pytest.raises(UsageError, match="qk_norm"):
        llamafolder.write(drawn(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_transformers_goes_on_as_lichen_does(model, folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM.from_pretrained(folder)
    read = transformers.AutoTokenizer.from_pretrained(folder)
    assert (read.bos_token, read.eos_token) == ("<|end|>", "<|end|>")
    asked = read(TEXTS[0], return_tensors="pt")["input_ids"]
    told = theirs.generate(asked, max_new_tokens=8, do_sample=False, pad_token_id=0)
    text = read.decode(told[0], skip_special_tokens=True)
    assert text == TEXTS[0] + model.generate(TEXTS[0], temperature=0, max_new_tokens=8)[0]
    np.testing.assert_array_equal(asked[0, 0], 1)


@pytest.mark.slow
def test_transformers_reads_and_tells_pieces_as_lichen_does(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = llamafolder.read(llama_folder(tmp_path / "first"))
    (tmp_path / "second").mkdir()
    llamafolder.write(model, tmp_path / "second")
    read, ours = transformers.AutoTokenizer.from_pretrained(tmp_path / "second"), model.assets["tokenizer"]
    for text in TEXTS[:3]:
        numbers = read(text)["input_ids"]
        assert numbers == [1, *tokenizer.of(ours).encode([text])[0].tolist()]
        assert read.decode(numbers, skip_special_tokens=True) == text
