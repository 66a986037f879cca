"""A language model learns to answer; of an adapter the base keeps every bit, and merged it says the same."""

import numpy as np
import pytest
import torch
from languages import drawn, texts
from quiet import Quiet, Stopped

import lichen as li
from lichen.core.errors import DataError, OptionError, UsageError
from lichen.engine.inputs import feeds
from lichen.engine.task import task_of
from lichen.engine.training import adapters

pytest.importorskip("peft")
SMALL = {"depth": 1, "width": 32, "num_heads": 2}
LLAMA = {"mlp": "swiglu", "qk_norm": False, "num_kv_heads": 1}


def spoken(num=60):
    return li.conversations([
        {"prompt": f"say {word} {row}", "answer": f"{word} " * 2}
        for row, word in enumerate(["bark", "moss"] * (num // 2))
    ])  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return spoken()


@pytest.fixture(scope="module")
def base():
    return drawn(max_tokens=64, **SMALL)


def tuned(start, data, run=None, **changes):
    changes = {"epochs": 1, "batch_tokens": 128, "rank": 2, "precision": "float32", **changes}
    return li.adapt.instruct.fn(start, data, **li.adapt.instruct.signature.check(changes), run=run or Quiet())


def logits(module, model, data):
    rows = torch.from_numpy(np.array(feeds.rows_of(data, "validation", model.assets).whole()[:, 0]))
    with torch.no_grad():
        return module.eval()(rows)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(("method", "kind"), [
    ("full", "gpt"), ("lora", "llama"), ("prompt", "llama"),
    *(pytest.param(method, "gpt", marks=SLOW) for method in ("lora", "rslora", "dora", "ia3", "prompt")),
])  # fmt: skip
def test_it_learns_and_merged_says_what_it_says_beside_its_base(data, method, kind):
    start = drawn(max_tokens=64, **SMALL, **(LLAMA if kind == "llama" else {}))
    model = tuned(start, data, method=method, epochs=2, rate={"full": 0.003, "prompt": 0.1}.get(method, 0.02))
    assert li.evaluate(model, data).value < 0.9 * li.evaluate(start, data).value
    assert model.assets["template"] and start.digest != model.digest
    if method == "full":
        return
    assert model.base().weights().keys() == start.weights().keys()
    assert model.face["base"] == start.part_digest() == model.base().part_digest()
    beside, merged = (
        logits(net, model, data) for net in (adapters.beside(model), li.adapt.merge(model).torch())
    )
    assert (beside - merged).abs().max() < 1e-4 * beside.abs().max()
    assert model.adapter().onto(start).digest == model.digest
    assert model.adapter().size_bytes < 0.6 * start.size_bytes


def test_nothing_of_the_base_is_kept_with_every_epoch(data, base):
    run = Quiet()
    tuned(base, data, run)
    held = {name.partition("/")[2] for name in run.kept[1]}
    assert not any("base_layer" in name or "tokens" in name or "head" in name for name in held)
    assert any("lora_A" in name for name in held)


def test_it_tells_how_many_conversations_it_does_not_read_to_their_end(base):
    short, cut, lost = ({"prompt": "say " + "m" * ask, "answer": "moss " * tell}
                        for ask, tell in ((1, 1), (2, 30), (90, 1)))  # fmt: skip
    rows = [{**row, "prompt": f"{row['prompt']} {place}"} for place, row in
            enumerate([short] * 4 + [cut] * 2 + [lost] * 3)]  # fmt: skip
    run = Quiet()
    tuned(base, li.conversations(rows, splits=["train"] * len(rows)), run, method="full")
    notes = [fields["text"] for kind, fields in run.events if kind == "note"]
    (said,) = [text for text in notes if "conversations in" in text]
    assert said.startswith("6 conversations in ")
    assert said.endswith("; 2 are cut off there; 3 more do not reach an answer and are left out")


def test_a_killed_call_resumes_to_the_same_bytes(data, base):
    whole = tuned(base, data, dropout=0.1, epochs=2)
    run = Quiet(stop_after=5)
    with pytest.raises(Stopped):
        tuned(base, data, run, dropout=0.1, epochs=2)
    assert tuned(base, data, Quiet(kept=run.kept), dropout=0.1, epochs=2).digest == whole.digest
    assert tuned(base, data, dropout=0.1, epochs=2, seed=1).digest != whole.digest


def test_it_answers_as_it_was_taught_and_ends():
    data = spoken(40)
    model = tuned(drawn(max_tokens=64), data, method="full", epochs=8, rate=0.006)
    asked = ["say moss 1", "say bark 2"]
    assert model.generate(asked, temperature=0) == ["moss moss ", "bark bark "]
    talk = [{"role": "user", "content": "say moss 1"}, {"role": "assistant", "content": "moss moss "},
            {"role": "user", "content": "say bark 2"}]  # fmt: skip
    together = model.generate([talk, talk[:1]], temperature=0)
    assert together == [*model.generate(talk, temperature=0), "moss moss "]


def test_a_figure_is_that_of_answers_alone(data, base):
    model, task = tuned(base, data), task_of("language_modelling")
    rows = feeds.rows_of(data, "validation", model.assets)
    told = torch.from_numpy(np.array(rows.whole()))
    with torch.no_grad():
        logs = torch.log_softmax(model.torch()(told[:, 0]), -1)
    nats = -logs.gather(-1, told[:, 1:].transpose(1, 2).long())[..., 0][told[:, 1] != 0].sum()
    num_bytes = rows.targets[..., 1][rows.targets[..., 0] >= 0].sum()
    assert li.evaluate(model, data)["bits_per_byte"] == pytest.approx(
        nats.item() / np.log(2) / num_bytes, rel=1e-4
    )
    assert task.figures(np.array([[1.0]]), np.array([[[0, 1]]]))["loss"] == 1.0


def test_a_template_of_ones_own_is_kept_and_used(data, base):
    own = "{% for message in messages %}{{ message.content + eos_token }}{% endfor %}"
    model = tuned(base, data, epochs=0, template=own)
    assert model.assets["template"]["source"] == own
    assert tuned(li.adapt.merge(model), data, epochs=0).assets["template"]["source"] == own
    with pytest.raises(DataError, match="must be Jinja2"):
        tuned(base, data, template="{% for %}")


def test_it_says_how_full_rows_are(data, base):
    run = Quiet()
    tuned(base, data, run)
    notes = [fields["text"] for kind, fields in run.events if kind == "note"]
    assert "% full" in notes[0] and "are answers" in notes[0] and "numbers learnt" in notes[-1]


def test_chosen_answers_of_pairs_are_learnt(base):
    rows = [{"prompt": f"say {row}", "chosen": "moss " * 2, "rejected": "bark"} for row in range(40)]
    model = tuned(base, li.conversations(rows), method="full", epochs=6, rate=0.004)
    assert li.evaluate(model, li.conversations(rows)).value < 1.5


def test_misused_it_says_what_to_do(data, base):
    with pytest.raises(DataError, match="learnt from conversations"):
        tuned(base, texts())
    with pytest.raises(UsageError, match=r"adapt\.merge"):
        tuned(tuned(base, data, epochs=0), data)
    with pytest.raises(OptionError, match="no layer"):
        tuned(base, data, targets=["q_proj"])
    with pytest.raises(UsageError, match="only a language model"):
        tuned(base.with_weights(base.weights(), assets={"labels": []}), data)
    with pytest.raises(DataError, match="within 3 tokens"):
        tuned(base, data, max_tokens=3)
    with pytest.raises(UsageError, match="never taught conversations"):
        base.generate([{"role": "user", "content": "x"}])
    prompted = li.adapt.merge(tuned(base, data, method="prompt", epochs=0))
    with pytest.raises(UsageError, match="a learnt prompt already"):
        tuned(prompted, data, method="prompt")


def test_other_steps_take_conversations_too(data, base):
    for step in (li.adapt.finetune, li.adapt.adapter):
        made = step(base, data, epochs=1, batch_size=2, precision="float32", rate=0.01)
        assert li.evaluate(made, data).value < li.evaluate(base, data).value
