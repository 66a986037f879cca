"""What was preferred becomes likelier; the first loss is log 2; a killed call goes on to the same bytes."""

import math

import pytest
import torch
from languages import drawn, texts
from quiet import Quiet, Stopped

import lichen as li
from lichen.core.errors import DataError
from lichen.data import tokenizer
from lichen.engine.modules import architecture, backend

pytest.importorskip("peft")


@pytest.fixture(scope="module")
def data():
    return li.conversations([
        {"prompt": f"say {row}", "chosen": ("moss " if row % 2 else "bark ") * (1 + row % 3),
         "rejected": ("stone " if row % 2 else "rain ") * (1 + row % 2)} for row in range(60)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def base():
    return drawn(max_tokens=64, depth=1)


def tuned(start, data, run=None, **changes):
    changes = {"epochs": 2, "batch_tokens": 512, "precision": "float32", "rank": 2, "rate": 0.005, **changes}
    return li.adapt.dpo.fn(start, data, **li.adapt.dpo.signature.check(changes), run=run or Quiet())


def likelier(model, base, data):
    """The share of validation pairs whose chosen answer gained more than the rejected one."""
    from lichen.data import chat, preferences
    from lichen.engine.language import preference
    from lichen.engine.training.execution import Execution

    made = preferences.packed(data.rows("validation"), chat.of(base.assets), room=64, least=128)
    rule = preference.Rule(beta=1.0, by_length=False, most=made.most)
    first = preference.first(base.torch(), made.rows_N3T, rule, chosen=Execution(), device="cpu")
    return preference.judge(made.rows_N3T, first, rule, device="cpu").measure(model.torch())


@pytest.mark.parametrize(("method", "normalise", "beta"), [("lora", "none", 0.1), ("full", "length", 2.0)])
def test_what_was_preferred_becomes_likelier(data, base, method, normalise, beta):
    run = Quiet()
    model = tuned(base, data, run, method=method, normalise=normalise, beta=beta)
    found = likelier(model, base, data)
    assert found["preference_accuracy"] > 0.9 and found["margin"] > 1
    last = run.history()[-1]
    assert last["preference_accuracy"] > 0.9 and last["margin"] > 0 and last["preference_loss"] < math.log(2)


def test_the_first_loss_is_log_2(data, base):
    run = Quiet()
    tuned(base, data, run, epochs=1, rate=0.0, batch_tokens=4096)
    (figures,) = run.history()
    assert figures["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert figures["preference_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert figures["preference_accuracy"] == 0.5


def test_a_killed_call_resumes_to_the_same_bytes(data, base):
    whole, run = tuned(base, data), Quiet(stop_after=3)
    with pytest.raises(Stopped):
        tuned(base, data, run)
    assert tuned(base, data, Quiet(kept=run.kept)).digest == whole.digest


def test_without_validation_it_learns_all_the_same(data, base):
    rows = [{"prompt": f"say {row}", "chosen": "moss", "rejected": "bark"} for row in range(8)]
    model = tuned(base, li.conversations(rows, splits=["train"] * 8), epochs=1)
    assert model.is_adapted


def test_data_without_pairs_are_refused(base):
    for data in (texts(), li.conversations([{"prompt": "a", "answer": "b"}], splits=["train"])):
        with pytest.raises(DataError, match="learnt from pairs of answers"):
            tuned(base, data)


@pytest.mark.slow
def test_a_net_of_others_drops_nothing_while_it_learns(data, base):
    """GPT-2 as its library has it drops a tenth: its chances would not be those that it began with."""
    pytest.importorskip("transformers")
    asset = base.assets["tokenizer"]
    torch.manual_seed(0)
    net = architecture.build("hf/gpt2", {"depth": 1}, (64, tokenizer.of(asset).size), 0)
    start = backend.wrap(net, task="language_modelling", assets=dict(base.assets))
    run = Quiet()
    tuned(start, data, run, epochs=1, rate=0.0, method="full")
    (figures,) = run.history()
    assert figures["loss"] == pytest.approx(math.log(2), abs=1e-5)
