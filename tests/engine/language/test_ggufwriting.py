"""A language model leaves as a GGUF file that others open, with the same answers and its tokenizer inside."""

import json

import numpy as np
import pytest
import torch
from languages import drawn, turns_folder
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.data import chat, tokenizer
from lichen.engine import answer
from lichen.engine.language import ggufreading, ggufwriting, llamafolder
from lichen.engine.modules import backend

TEXTS = ["moss on the stone", "café 😀 x\n"]


@pytest.fixture(scope="module")
def model():
    return drawn(size=300, width=64, mlp="swiglu", qk_norm=False, num_kv_heads=1)


def rows():
    found = np.random.default_rng(0).integers(3, 200, (4, 25)).astype(np.int32)
    found[:, 0] = 1
    return found


def losses(model):
    return answer.logits(model, rows())


HALF = 2.0**-11
"""By how much of itself a number changes at most when it becomes a float of 16 bits."""
SMALLEST = 2.0**-25
"""Or by this much, where it is so small that such floats lie evenly."""


def farthest(name, numbers, kind):
    """How far each weight of a kind may be from what it was: half a step of its 32, and their scale's own."""
    if name in ("tokens.weight", "head.weight") and kind == "q4_0":
        kind = "q8_0"
    if kind == "f32" or numbers.ndim == 1:
        return np.zeros_like(numbers)
    if kind == "f16" or numbers.shape[1] % 32:
        return np.maximum(HALF * np.abs(numbers), SMALLEST)
    of_block = np.abs(numbers).reshape(len(numbers), -1, 32).max(-1, keepdims=True).repeat(32, -1)
    step = of_block / (127 if kind == "q8_0" else 8)
    # Of 16 numbers the one opposite the farthest is missing: what would be it is a whole step off.
    return ((0.5 if kind == "q8_0" else 1.0) * step + HALF * of_block).reshape(numbers.shape)


def slopes(model):
    """By weight, how the mean loss of the rows changes with it."""
    net, x = backend.module_of(model), torch.from_numpy(rows()).long()
    for parameter in net.parameters():
        parameter.requires_grad_()
    functional.cross_entropy(net(x[:, :-1]).transpose(1, 2), x[:, 1:]).backward()
    found = {name: parameter.grad.double().numpy() for name, parameter in net.named_parameters()}
    net.zero_grad()
    return found


@pytest.mark.parametrize("kind", ggufwriting.KINDS)
def test_no_weight_is_farther_off_than_its_bits_say_and_losses_follow(model, tmp_path, kind):
    path = tmp_path / "model.gguf"
    ggufwriting.write(model, path, kind)
    read = ggufwriting.read(path, model)
    expected, most, by_slope = 0.0, 0.0, slopes(model)
    for name, array in model.weights().items():
        was, now = (one.astype(np.float64) for one in (array.numpy(), read.weights()[name].numpy()))
        may = farthest(name, was, kind)
        assert (np.abs(now - was) <= may * (1 + 1e-6)).all(), name
        expected += float((by_slope[name] * (now - was)).sum())
        most += float(np.abs(by_slope[name] * may).sum())
    found = losses(read) - losses(model)
    assert (np.abs(found).max() == 0) == (kind == "f32")
    assert abs(float(found.mean())) <= most
    if kind == "f16":  # so little that losses are as good as straight lines
        assert float(found.mean()) == pytest.approx(expected, rel=0.1, abs=1e-5)


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_a_weight_that_is_a_step_off_would_be_seen(model, tmp_path, kind):
    """A planted defect: a matrix is a hundredth too large, as by a scale that was rounded."""
    ggufwriting.write(model, tmp_path / "model.gguf", kind)
    array = ggufwriting.read(tmp_path / "model.gguf", model).weights()["blocks.0.mlp.up.weight"].numpy()
    was = model.weights()["blocks.0.mlp.up.weight"].numpy()
    assert (np.abs(array * 1.01 - was) > farthest("up", was, kind)).any()


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


def bounds(path):
    found = ggufreading.opened(path)
    return [ggufreading.said(found, f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "eot")]


def talked(spoken, path):
    """What a model says in a conversation, as its tokens, before it was written and read from the file."""
    ggufwriting.write(spoken, path, "f32")
    found, talk = ggufreading.read(path), [{"role": "user", "content": "moss in 2026"}]
    was, now = (chat.of(one.assets) for one in (spoken, found))
    assert (now.source, now.stops) == (was.source, was.stops)
    assert now.prompt(talk).tolist() == was.prompt(talk).tolist()
    assert found.generate(talk, temperature=0) == spoken.generate(talk, temperature=0)
    return found


def test_the_template_and_the_tokens_that_it_names_come_back(model, tmp_path):
    template = chat.plain(model.assets["tokenizer"])
    spoken = model.with_weights(model.weights(), assets={**model.assets, "template": template})
    assert talked(spoken, tmp_path / "model.gguf").assets["template"] == template
    assert bounds(tmp_path / "model.gguf") == [tokenizer.END, chat.TURN, chat.TURN]
    ggufwriting.write(model, tmp_path / "plain.gguf", "f32")
    assert bounds(tmp_path / "plain.gguf") == [tokenizer.END, tokenizer.END, None]


@pytest.mark.parametrize(
    ("eos", "stops", "wanted"), [("<|im_end|>", 2, [1, 2, 2]), ("<|endoftext|>", [0, 2], [1, 0, 2])]
)
def test_a_model_of_turns_over_single_digits_comes_back(tmp_path, eos, stops, wanted):
    spoken = llamafolder.read(turns_folder(tmp_path / "folder", eos, stops))
    found = talked(spoken, tmp_path / "model.gguf")
    assert bounds(tmp_path / "model.gguf") == wanted
    assert ggufreading.said(ggufreading.opened(tmp_path / "model.gguf"), "tokenizer.ggml.pre") == "smollm"
    ours, theirs = (tokenizer.of(one.assets["tokenizer"]) for one in (spoken, found))
    texts = [*TEXTS, "in 2026, 12 moss"]
    for was, now in zip(ours.encode(texts), theirs.encode(texts), strict=True):
        assert was.tolist() == now.tolist()


@pytest.mark.parametrize("change", [
    {"normalizer": {"type": "NFC"}}, {"pre_tokenizer": {"type": "Digits", "individual_digits": True}},
    {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True,
                       "trim_offsets": True}},
])  # fmt: skip
def test_what_llama_cpp_would_split_otherwise_is_refused(model, tmp_path, change):
    file = {**json.loads(tokenizer.written(model.assets["tokenizer"])), **change}
    asset = {"kind": "file", "file": file, "end": 1, "stops": [1]}
    odd = model.with_weights(model.weights(), assets={**model.assets, "tokenizer": asset})
    with pytest.raises(UsageError, match="takes tokenizers of GPT-2's kind"):
        ggufwriting.write(odd, tmp_path / "model.gguf", "f32")


def test_what_no_llama_computes_is_refused(tmp_path):
    with pytest.raises(UsageError, match="qk_norm"):
        ggufwriting.write(drawn(), tmp_path / "model.gguf", "f32")
