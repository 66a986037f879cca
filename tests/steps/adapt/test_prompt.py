"""A prompted language model is an ordinary classifier of the record."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from languages import drawn
from quiet import Quiet

import lichen as li
from lichen.core.errors import AdapterError, LeakError, OptionError, UsageError
from lichen.core.session import opened
from lichen.data import tokenizer, tokens
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.language import prompts
from lichen.steps.adapt import prompt as prompt_step

STORIES = Path(os.environ.get("LICHEN_DATA", "/nowhere")) / "pretrained" / "stories260k"
WAYS = {
    "zero": {},
    "few": {"shots": 3, "calibration": "none"},
    "near": {"shots": 2, "choice": "nearest", "scoring": "mean"},
    "embedded": {"shots": 2, "choice": "nearest", "similarity": "embedding", "calibration": "none"},
}


def labelled(num=80):
    draws = np.random.default_rng(0)
    words = [["moss", "stone"], ["rain", "wet"], ["bark", "old"]]
    rows = [" ".join(draws.choice(words[row % 3], draws.integers(1, 6))) + f" {row}" for row in range(num)]
    return li.texts(rows, np.arange(num) % 3, labels=["ground", "sky", "tree"])


@pytest.fixture(scope="module")
def model():
    return drawn(max_tokens=220)


@pytest.fixture(scope="module")
def data():
    return labelled()


def prompted(model, data, **options):
    return li.adapt.prompt(model, data, max_tokens=20, **options)


@pytest.mark.parametrize("way", WAYS)
def test_it_is_evaluated_asked_and_kept_like_any_classifier(way, model, data, tmp_path):
    made = prompted(model, data, **WAYS[way])
    assert made.task == "text_classification" and made.net == "prompted"
    scores, rows = li.evaluate(made, data), data.rows("validation")
    replies = made.predict(rows.texts)
    assert [made.assets["labels"].index(reply["label"]) for reply in replies] == (
        scores.answers()["answer"].numpy().tolist()
    )
    made.save(tmp_path / "m.lichen")
    assert li.open(tmp_path / "m.lichen").predict(rows.texts) == replies
    merged = li.adapt.merge(made)
    assert not merged.is_adapted and merged.predict(rows.texts) == replies
    together = answer.logits(made, feeds.rows_of(data, "validation", made.assets).whole())
    for size in (1, 3):
        alone = answer.logits(made, feeds.rows_of(data, "validation", made.assets).whole(), size)
        np.testing.assert_allclose(alone, together, atol=1e-5)


def test_the_language_model_stays_as_it_is_and_the_prompt_is_a_small_part_beside_it(model, data):
    made = prompted(model, data, shots=2)
    assert made.part_digest(made.base_part) == model.part_digest()
    prompt = made.adapter()
    assert prompt.size_bytes < 200 < model.size_bytes
    assert prompt.onto(model).digest == made.digest
    with pytest.raises(AdapterError, match="goes onto the base it was trained on"):
        prompt.onto(drawn(max_tokens=220, seed=1))


@torch.no_grad()
def test_calibration_leaves_no_label_ahead_where_a_text_says_nothing(model, data):
    made, bare = (prompted(model, data, shots=3, calibration=name) for name in ("contextual", "none"))
    teller = tokenizer.of(made.assets["tokenizer"])
    rows = tokens.filled(teller, prompts.NEUTRAL, 20, made.assets["before"])
    logits_NK = torch.from_numpy(answer.logits(made, rows))
    # W = diag(p)^-1 for the mean p of texts without content (Zhao et al. 2021, section 5).
    probabilities_NK = torch.from_numpy(answer.logits(bare, rows)).softmax(-1)
    wanted_NK = (probabilities_NK / probabilities_NK.mean(0)).log()
    torch.testing.assert_close(logits_NK.softmax(-1), wanted_NK.softmax(-1), atol=1e-5, rtol=0)
    assert (bare.torch().head.bias == 0).all() and not (made.torch().head.bias == 0).any()


@pytest.mark.skipif(not STORIES.is_dir(), reason="needs LICHEN_DATA with pretrained/stories260k")
def test_a_model_of_stories_knows_who_is_happy():
    good = ["got a new toy", "ate a big cake", "played with her friends", "won the race", "found her cat"]
    bad = [
        "lost her toy",
        "fell and hurt her knee",
        "broke her new toy",
        "could not find her mom",
        "was hurt",
    ]
    rows = [f"Lily {what}." for what in [*good, *bad]]
    data = li.texts(rows * 3, [1] * 5 + [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5 + [0] * 5,
                    labels=["sad", "happy"], duplicates="keep")  # fmt: skip
    stories = li.pretrain.adopt("hf/pretrained/stories260k")
    made = li.adapt.prompt(stories, data, template="{text} She was very {label}")
    said = [reply["label"] for reply in made.predict(rows)]
    assert sum(a == b for a, b in zip(said, ["happy"] * 5 + ["sad"] * 5, strict=True)) >= 8


SEARCH = {"shots": [0, 3], "template": ["text", "was"], "calibration": ["none", "contextual"]}


def test_a_search_takes_what_validation_likes_best_and_remembers_it(model, data, tmp_path):
    with opened(tmp_path / ".lichen"):
        made = prompted(model, data, search=SEARCH, judged=1000)
        choice = made.made.call.decisions["prompt"]
        accuracies = {}
        for shots in SEARCH["shots"]:
            for template in SEARCH["template"]:
                for calibration in SEARCH["calibration"]:
                    one = prompted(model, data, shots=shots, template=template, calibration=calibration)
                    accuracies[shots, template, calibration] = li.evaluate(one, data).value
                    if choice == {"shots": shots, "template": template, "calibration": calibration}:
                        assert one.digest == made.digest
        assert accuracies[tuple(choice[name] for name in SEARCH)] == max(accuracies.values())
        model.save(tmp_path / "m.lichen")


def test_a_search_that_looked_at_test_would_be_refused(model, data, monkeypatch):
    monkeypatch.setattr(prompt_step, "CHOOSES", "test")
    with pytest.raises(LeakError, match="`test` may not be opened"):
        prompted(model, data, search={"shots": [0, 1]})


def test_a_recorded_choice_is_replayed_without_asking(model, data):
    run = Quiet()
    run.decide = lambda name, measure, about=None: {"shots": 2, "template": "was"}
    options = prompt_step.prompt.signature.check({"max_tokens": 20, "search": SEARCH})
    made = prompt_step.prompt.fn(model, data, **options, run=run)
    assert made.digest == prompted(model, data, shots=2, template="was").digest


def test_it_says_what_it_cuts_and_that_numbers_are_poor_names(model):
    data = li.texts(
        [f"{'moss ' * (row % 40)}{row}" for row in range(60)], np.arange(60) % 2, labels=["0", "1"]
    )
    run = Quiet()
    options = prompt_step.prompt.signature.check({"max_tokens": 20})
    made = prompt_step.prompt.fn(model, data, **options, run=run)
    said = {kind: fields["text"] for kind, fields in run.events}
    assert "labels called 0, 1 say little" in said["warning"]
    rows = data.rows("validation").texts
    teller = tokenizer.of(made.assets["tokenizer"])
    cut = sum(len(numbers) > 20 for numbers in teller.encode([f" {text}" for text in rows]))
    assert (
        cut > 0
        and f"{cut} of {len(rows)} validation texts are longer than the 20 tokens read" in said["note"]
    )


def test_it_goes_on_learning_as_any_classifier_does(model, data):
    made = prompted(model, data)
    tuned = li.adapt.finetune(made, data, freeze="body", epochs=2, precision="float32", head="keep")
    assert tuned.net == "prompted" and not tuned.is_adapted
    before, after = (loss(one, data) for one in (made, tuned))
    assert after < before


def loss(made, data):
    rows = feeds.rows_of(data, "train", made.assets)
    logits_NK = torch.from_numpy(answer.logits(made, rows.whole()))
    return float(torch.nn.functional.cross_entropy(logits_NK, torch.tensor(rows.targets)))


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"template": "revew"}, OptionError, "did you mean `review`"),
        ({"words": {"grund": "soil"}}, OptionError, "did you mean `ground`"),
        ({"search": {"seed": [1, 2]}}, OptionError, "`search` takes no `seed`"),
        ({"search": {"shots": 4}}, OptionError, "needs a list of values for `shots`"),
        ({"search": {"shots": [-1]}}, OptionError, "`shots` must be"),
        ({"search": {"choice": ["closest"]}}, OptionError, "`choice` must be"),
        ({"shots": 40}, UsageError, "of the 220 tokens that the model reads"),
        ({"shots": 1000}, UsageError, "1000 demonstrations need so many train rows"),
        (
            {"shots": 1000, "choice": "nearest", "pool": 2000},
            UsageError,
            "1000 demonstrations need so many train rows",
        ),
        ({"shots": 3, "choice": "nearest", "pool": 2}, UsageError, "not from a pool of 2"),
    ],
)
def test_mistakes_are_named(options, kind, said, model, data):
    with pytest.raises(kind, match=said):
        prompted(model, data, **options)


def test_what_cannot_be_prompted_is_named(model, data):
    made = prompted(model, data)
    with pytest.raises(UsageError, match="this one is for text_classification(.|\n)*pretrain.adopt"):
        prompted(made, data)
    with pytest.raises(UsageError, match="two labels at least"):
        prompted(model, li.texts(["moss", "stone", "bark"] * 9, duplicates="drop"))
