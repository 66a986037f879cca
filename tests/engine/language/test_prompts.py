"""A prompt in pieces is the prompt as a whole, and demonstrations come from train alone."""

import os
from pathlib import Path

import numpy as np
import pytest
from languages import WORDS

import lichen as li
from lichen.core.errors import LeakError, OptionError, UsageError
from lichen.data import foreign, tokenizer, tokens
from lichen.engine.language import demonstrations, prompts
from lichen.engine.language.prompts import Demonstration

STORIES = Path(os.environ.get("LICHEN_DATA", "/nowhere")) / "pretrained" / "stories260k"
LABELS = ["bad", "good"]
TEXTS = ["moss on the stone", "  wet, old bark!\n", "rain's 12 drops (café)", "x"]


def own():
    return tokenizer.of(tokenizer.learn([*WORDS, "Review: moss\nSentiment: good", "It was bad."], 320))


@pytest.mark.parametrize("name", [*prompts.TEMPLATES, "Say: {text}\n=>{label}!", "{text}, so {label}"])
@pytest.mark.parametrize("instruction", [None, "Is it {labels}?"])
def test_pieces_are_told_in_the_tokens_of_the_whole(name, instruction):
    teller, template = own(), prompts.template(name, instruction, None, LABELS)
    shown = [Demonstration(text=text, label=number % 2) for number, text in enumerate(TEXTS)]
    told = prompts.told(teller, template, shown, max_tokens=50, room=900, num_shown=4)
    for text, label in zip(TEXTS, (0, 1, 1, 0), strict=True):
        (row,) = tokens.within(teller, [text], template.before)
        blocks = [token for block in told.blocks for token in block]
        pieces = [*told.opening, *blocks, *row, *told.suffix, *told.labels[label]]
        spoken = [
            template.head + one.text.strip() + template.middle + LABELS[one.label] + template.tail + "\n\n"
            for one in shown
        ]
        whole = (template.instruction + "\n\n") if template.instruction else ""
        whole += "".join(spoken) + template.head + text.strip() + template.middle + LABELS[label]
        assert pieces == [teller.end, *teller.encode([whole])[0].tolist()]
        assert teller.decode(pieces[1:]) == whole


@pytest.mark.skipif(not STORIES.is_dir(), reason="needs LICHEN_DATA with pretrained/stories260k")
def test_a_tokenizer_of_pieces_puts_no_space_where_a_text_goes_on():
    teller = tokenizer.of(foreign.asset_of(STORIES, {"bos_token_id": 1, "eos_token_id": 2}))
    for text in ("once upon", " once upon", "\nonce", ", he"):
        (numbers,) = teller.encode_within([text])
        assert teller.decode(numbers) == text
        assert teller.decode(teller.encode([text])[0]) == " " + text


def test_long_texts_are_cut_at_their_end_and_the_rest_of_the_prompt_stays_whole():
    teller, template = own(), prompts.template("review", None, None, LABELS)
    shown = [Demonstration(text="moss " * 90, label=1)]
    told = prompts.told(teller, template, shown, max_tokens=6, room=200, num_shown=1)
    (text,) = teller.encode([" moss" * 90])
    assert told.blocks[0][:6] == text[:6].tolist()
    assert teller.decode(told.blocks[0][6:]) == "\nSentiment: good\n\nReview:"
    taken = len(told.opening) + len(told.blocks[0]) + len(told.suffix) + max(map(len, told.labels)) - 1
    close = prompts.told(teller, template, shown, max_tokens=60, room=taken + 64, num_shown=1)
    assert close.room == taken + 64 - len(close.opening) - len(close.blocks[0]) - len(close.suffix) - (
        max(map(len, close.labels)) - 1
    )
    with pytest.raises(
        UsageError, match=rf"takes {taken} of the {taken + 7} tokens that the model reads(.|\n)*fewer"
    ):
        prompts.told(teller, template, shown, max_tokens=6, room=taken + 7, num_shown=1)


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("revew", None, "unknown template `revew`(.|\n)*did you mean `review`"),
        ("{text} is", None, "must have {text} once and then {label} once"),
        ("{label}: {text}", None, "must have {text} once and then {label} once"),
        ("{text} {label}", None, "say something between"),
        ("{sentence} is {label}", None, "has no place `{sentence}`"),
        ("review", {"god": "great"}, "names no label `god`(.|\n)*did you mean `good`"),
        ("review", {"good": "bad"}, "words of its own"),
        ("review", {"good": " "}, "words of its own"),
    ],
)
def test_mistakes_in_a_template_are_named(name, words, said):
    with pytest.raises(OptionError, match=said):
        prompts.template(name, None, words, LABELS)


def labelled(num=60):
    rows = [f"moss {row}" for row in range(num)]
    return li.texts(rows, (np.arange(num) % 10 == 0).astype(int), labels=LABELS)


def test_demonstrations_are_drawn_by_the_seed_from_train_alone():
    data = labelled()
    train = set(data.rows("train").texts)
    for balanced in (True, False):
        first = demonstrations.chosen(data, 6, is_balanced=balanced, order=0, seed=0)
        again = demonstrations.chosen(data.opened(("train",)), 6, is_balanced=balanced, order=0, seed=0)
        other = demonstrations.chosen(data, 6, is_balanced=balanced, order=0, seed=1)
        turned = demonstrations.chosen(data, 6, is_balanced=balanced, order=1, seed=0)
        assert first == again != other and {one.text for one in first} <= train
        assert turned != first and sorted(one.text for one in turned) == sorted(one.text for one in first)
        counts = np.bincount([one.label for one in first], minlength=2)
        assert counts.tolist() == [3, 3] if balanced else counts[1] < 3
    with pytest.raises(LeakError):
        demonstrations.chosen(data.opened(("validation",)), 2, is_balanced=True, order=0, seed=0)
    with pytest.raises(UsageError, match="500 demonstrations need so many train rows"):
        demonstrations.chosen(data, 500, is_balanced=True, order=0, seed=0)
