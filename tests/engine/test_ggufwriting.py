"""A language model leaves as a GGUF file that others open, with the same answers and its tokenizer inside."""

import numpy as np
import pytest
import torch
from languages import drawn

from lichen.core.errors import UsageError
from lichen.data import tokenizer
from lichen.engine import answer, backend, ggufwriting

TEXTS = ["moss on the stone", "café 😀 x\n"]


@pytest.fixture(scope="module")
def model():
    return drawn(size=300, width=64, mlp="swiglu", qk_norm=False, num_kv_heads=1)


def losses(model):
    rows = np.random.default_rng(0).integers(3, 200, (4, 25)).astype(np.int32)
    rows[:, 0] = 1
    return answer.logits(model, rows)


@pytest.mark.parametrize(("kind", "apart"), [("f32", 0), ("f16", 1e-3), ("q8_0", 0.03), ("q4_0", 0.2)])
def test_each_kind_tells_as_well_as_its_bits_allow(model, tmp_path, kind, apart):
    path = tmp_path / "model.gguf"
    ggufwriting.write(model, path, kind)
    found = losses(ggufwriting.read(path, model)) - losses(model)
    assert abs(float(found.mean())) <= apart
    assert (np.abs(found).max() == 0) == (kind == "f32")


def test_fewer_bits_are_fewer_bytes(model, tmp_path):
    sizes = []
    for kind in ggufwriting.KINDS:
        ggufwriting.write(model, tmp_path / kind, kind)
        sizes.append((tmp_path / kind).stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.slow
def test_transformers_opens_it_and_says_the_same(model, tmp_path):
    import transformers

    ggufwriting.write(model, tmp_path / "model.gguf", "f32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path), gguf_file="model.gguf").eval()
    read = transformers.AutoTokenizer.from_pretrained(str(tmp_path), gguf_file="model.gguf")
    ours, net = tokenizer.of(model.assets["tokenizer"]), backend.module_of(model)
    for text in TEXTS:
        numbers = [ours.end, *ours.encode([text])[0].tolist()]
        assert read(text).input_ids == numbers
        with torch.no_grad():
            found, wanted = theirs(torch.tensor([numbers])).logits, net(torch.tensor([numbers]))
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    begun = torch.tensor([[ours.end, *ours.encode([TEXTS[0]])[0].tolist()]])
    told = theirs.generate(begun, max_new_tokens=8, do_sample=False, pad_token_id=0)[
        0, begun.shape[1] :
    ].tolist()
    told = told[: told.index(ours.end)] if ours.end in told else told
    assert ours.decode(told) == model.generate(TEXTS[0], max_new_tokens=8, temperature=0)[0]


def test_halves_of_heads_that_lie_otherwise_would_be_heard(model, tmp_path, monkeypatch):
    """A planted defect: rows that are not laid in turn."""
    monkeypatch.setattr(ggufwriting, "_in_turn", lambda weight, heads: weight)
    ggufwriting.write(model, tmp_path / "model.gguf", "f32")
    assert np.abs(losses(ggufwriting.read(tmp_path / "model.gguf", model)) - losses(model)).max() > 0.1


def test_what_no_llama_computes_is_refused(tmp_path):
    with pytest.raises(UsageError, match="qk_norm"):
        ggufwriting.write(drawn(), tmp_path / "model.gguf", "f32")
