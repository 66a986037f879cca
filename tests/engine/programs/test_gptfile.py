"""A graph with a cache says what its net says: of whole texts, token by token, and side by side."""

import numpy as np
import pytest
import torch
from languages import drawn

from lichen.core.errors import UsageError
from lichen.engine.decode import Decoder
from lichen.engine.modules import backend, rounding
from lichen.engine.programs import executables, gptfile, runtimes
from lichen.engine.programs import teller as teller_room
from lichen.engine.sampling import Sampling

NETS = [
    {}, {"num_kv_heads": 1}, {"mlp": "swiglu", "qk_norm": False}, {"is_tied": True, "mlp": "swiglu"},
]  # fmt: skip
GREEDY = Sampling(temperature=0)
PROMPTS = ["moss", "the old stone", "", "rain on the wet bark"]


def program(model, **how):
    return executables.build(
        model, {"model.onnx": gptfile.of(model)}, runtime="onnxruntime", precision="float32"
    )


def teller(model):
    return runtimes.teller(program(model).files(), threads=1)


def rows(count=3, length=20, num_tokens=260):
    """Packed: a second document begins within each row, and the last row is filled up at the left."""
    found = np.random.default_rng(0).integers(3, num_tokens, (count, length)).astype(np.int32)
    found[:, 0] = found[:, 9] = 1
    found[-1, :4] = 0
    return found


def said(model, x):
    with torch.no_grad():
        return backend.module_of(model)(torch.from_numpy(x)).numpy()


def apart(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("options", NETS)
def test_whole_rows_and_tokens_one_by_one_get_the_answers_of_the_net(options):
    model = drawn(**options)
    asked, x = teller(model), rows()
    wanted = said(model, x)
    assert apart(asked(x), wanted) < 1e-4
    cache = asked.cache(24)
    parts = [asked(x[:, :7], cache), *(asked(x[:, at : at + 1], cache) for at in range(7, 20))]
    assert apart(np.concatenate(parts, 1), wanted) < 1e-4
    assert cache.length == 20


def test_several_tokens_after_a_past_are_heard_as_one_by_one():
    model = drawn()
    asked, x = teller(model), rows(count=1)
    cache = asked.cache(24)
    parts = [asked(x[:, :5], cache), asked(x[:, 5:12], cache), asked(x[:, 12:], cache, last=3)]
    wanted = said(model, x)
    assert apart(np.concatenate([*parts[:2]], 1), wanted[:, :12]) < 1e-4
    assert apart(parts[2], wanted[:, -3:]) < 1e-4


def test_documents_that_begin_at_marks_are_heard_as_the_net_hears_them():
    model, x = drawn(), rows()
    asked = teller(model)
    x[:, 5] = ~x[:, 5]
    x[:, 0] = ~x[:, 0]
    cache = asked.cache(24)
    parts = [asked(x[:, :7], cache), *(asked(x[:, at : at + 1], cache) for at in range(7, 20))]
    assert apart(np.concatenate(parts, 1), said(model, x)) < 1e-4


def test_what_is_cut_off_a_cache_is_forgotten():
    asked, x = teller(drawn()), rows(count=1)
    cache = asked.cache(24)
    asked(x[:, :8], cache)
    first = asked(x[:, 8:9], cache)
    cache.cut(8)
    np.testing.assert_array_equal(asked(x[:, 8:9], cache), first)


def test_another_document_that_was_not_hidden_would_be_heard(monkeypatch):
    """A planted defect: all is one document."""
    model = drawn()
    asked, x = teller(model), rows()
    monkeypatch.setattr(teller_room, "_bias", lambda starts, _: np.zeros((len(starts), 1, 20, 20), "f"))
    assert apart(asked(x), said(model, x)) > 0.01


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.3, top_k=40, seed=3)])
def test_a_program_tells_what_its_model_tells_also_past_what_the_net_reads(sampling):
    model = drawn()
    texts = [Decoder.of(value).generate(PROMPTS, max_new_tokens=40, sampling=sampling)
             for value in (model, program(model))]  # fmt: skip
    assert texts[0] == texts[1]
    alone = Decoder.of(program(model)).generate(PROMPTS, max_new_tokens=40, sampling=sampling, batch_size=1)
    assert alone == texts[0]


def test_a_tied_table_lies_in_the_file_once():
    sizes = [len(gptfile.of(drawn(is_tied=tied, width=64))) for tied in (True, False)]
    assert sizes[1] - sizes[0] > 0.9 * 260 * 64 * 4


def test_rounded_matrices_answer_as_their_whole_numbers_do():
    """By the runtime's own kernel, beside the net with the same numbers written out."""
    model = drawn(width=64)
    net = backend.module_of(model)
    made = {name: rounding.nearest(matrix, 8, 32) for name, matrix in gptfile.matrices_of(net).items()}
    written = executables.build(model, {"model.onnx": gptfile.written(net, 24, made)}, runtime="onnxruntime",
                             precision="int8")  # fmt: skip
    with torch.no_grad():
        for name, linear in (("head", net.head), ("0.down", net.blocks[0].mlp.down), ("tokens", net.tokens)):
            linear.weight.copy_(torch.from_numpy(made[name].whole()))
        wanted = net(torch.from_numpy(rows())).numpy()
    asked = runtimes.teller(written.files(), threads=1)
    assert np.abs(asked(rows()) - wanted).mean() < 0.03 * np.abs(wanted).mean()


def test_only_a_gpt_that_tells_tokens_becomes_one():
    with pytest.raises(UsageError, match="a gpt that tells tokens"):
        gptfile.written(torch.nn.Linear(2, 2), 8)
    narrow = drawn(num_heads=4)
    assert not gptfile.is_for(narrow)
    with pytest.raises(UsageError, match="multiple of 16 wide, not 8"):
        gptfile.of(narrow)
    assert not gptfile.is_for(drawn().with_weights({}, assets={"labels": ["a"]}))
