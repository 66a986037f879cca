"""A smaller language model of the same words: it exports as any other, and the gate sees what it costs."""

import pytest
import torch
from languages import texts

from lichen.core import session
from lichen.core.errors import GateError, OptionError, UsageError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.language import ggufreading, ggufwriting, llama
from lichen.engine.modules import backend

trim = by_address("compress.trim")
SIZES = {"depth": 3, "width": 64, "num_heads": 4, "num_kv_heads": 2, "mlp": "swiglu", "qk_norm": False}


@pytest.fixture(scope="module")
def life():
    data = texts(200)
    with session.using(Session()):
        teller = by_address("prepare.bpe")(data, size=280)
        model = by_address("pretrain.language")(
            data, teller, steps=60, max_tokens=32, batch_size=16, precision="float32", net_options=SIZES
        )
        return model, data


def trimmed(model, data, notes=None, **options):
    with session.using(Session()) as here:
        here.events.sinks.append((notes if notes is not None else []).append)
        return trim(
            model, data, **{"precision": "float32", "batch_size": 16, "steps": 20, "max_drop": 1.0, **options}
        )


@pytest.fixture(scope="module")
def small(life):
    notes = []
    made = trimmed(*life, notes, layers=0.34, heads=0.5, hidden=0.5, steps=40)
    return made, " ".join(event.get("text", "") for event in notes)


def test_tensors_shrink_and_options_say_what_is_left(life, small):
    model, made = life[0], small[0]
    sizes = ("depth", "num_heads", "num_kv_heads", "head_width")
    assert [made.options[name] for name in sizes] == [2, 2, 1, 16]
    assert made.options["hidden"] < backend.module_of(model).blocks[0].mlp.up.out_features
    shapes = {name: array.shape for name, array in made.weights().items()}
    assert shapes["blocks.1.attention.query.weight"] == (32, 64)
    assert shapes["blocks.1.attention.key.weight"] == (16, 64)
    assert made.num_params < 0.7 * model.num_params and dict(made.assets) == dict(model.assets)


def test_it_says_what_went_what_that_costs_and_what_a_token_takes(life, small):
    said = small[1]
    assert "of 3 go" in said and "1 of 2 groups of heads stay in each layer" in said
    assert "bits_per_byte" in said and "before the recovery" in said and "one token" in said


def test_it_recovers_under_the_whole_model(life, small):
    model, data = life
    alone = trimmed(model, data, layers=0.34, heads=0.5, hidden=0.5, steps=0, max_drop=1.0)
    with session.using(Session()):
        evaluate = by_address("assess.evaluate")
        whole, left, recovered = (evaluate(one, data).value for one in (model, alone, small[0]))
    assert recovered < left and recovered - whole < 0.5 * (left - whole)


def test_what_costs_more_than_it_may_is_refused(life):
    with pytest.raises(GateError, match="bits_per_byte may drop by 0.001 at most: .*a drop of"):
        trimmed(*life, heads=0.5, hidden=0.9, steps=0, max_drop=0.001)


@torch.no_grad()
def test_it_goes_on_as_it_tells_and_leaves_as_a_graph_a_llama_and_a_gguf_file(life, small, tmp_path):
    data, made = life[1], small[0]
    with session.using(Session()):
        program = by_address("deploy.export")(made, data)
        eight = by_address("compress.quantize")(made, data, group=32, max_drop=0.05)
    begun = ["moss on the old", "rain"]
    told = made.generate(begun, temperature=0, max_new_tokens=12)
    assert program.generate(begun, temperature=0, max_new_tokens=12) == told
    assert eight.size_bytes < 0.5 * made.size_bytes
    rows = feeds.rows_of(data, "validation", made.assets).whole()[:4]
    theirs = llama.module_of(backend.module_of(made))
    x_BT = torch.arange(3, 33).view(3, 10)  # one document per row: a Llama knows no others
    torch.testing.assert_close(theirs(x_BT).logits, backend.module_of(made)(x_BT), atol=1e-4, rtol=1e-4)
    ggufwriting.write(made, tmp_path / "model.gguf", "f32")
    for read in (ggufwriting.read(tmp_path / "model.gguf", made), ggufreading.read(tmp_path / "model.gguf")):
        assert read.options["head_width"] == 16
        torch.testing.assert_close(answer.logits(read, rows), answer.logits(made, rows), atol=1e-4, rtol=1e-4)


def test_what_cannot_be_trimmed_is_named(life):
    with pytest.raises(OptionError, match="nothing goes: 3 layers, 2 groups"):
        trimmed(*life, layers=0, heads=0, hidden=0)
    with session.using(Session()), pytest.raises(UsageError, match="compress.trim takes layers and heads"):
        by_address("compress.prune")(*life)
