"""A tokenizer loses nothing on any bytes, is the same wherever it is learnt, and is JSON alone."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import OptionError, UsageError
from lichen.data import foreign, tokenizer, tokens
from lichen.data.foreign import package

CORPUS = [
    "the moss and the lichen",
    "the lichen on the stone",
    "苔藓和地衣，石头上的地衣",
    "naïve café 😀 café",
] * 5
ASSET = tokenizer.learn(CORPUS, 320)
ODD = [
    "", " ", "\n\n\t", "\0", "".join(map(chr, range(0x250))), "<pad><end>", "Ġ", "ĊĠ",
    "\ufeff", "\u202e", "e\u0301", "👩\u200d👩\u200d👧", "苔" * 50, "\U0010ffff", "\r\n", "a" * 3000,
    "<|endoftext|>",
]  # fmt: skip


def drawn(seed):
    draws = random.Random(seed)
    kinds = [
        (0, 0x80),
        (0x80, 0x800),
        (0x4E00, 0x9FFF),
        (0x1F300, 0x1FAFF),
        (0xE000, 0xFFFF),
        (0x10000, 0x10FFFF),
    ]
    return "".join(chr(draws.randrange(*draws.choice(kinds))) for _ in range(draws.randrange(40)))


def test_every_text_is_told_and_read_back():
    made = tokenizer.of(ASSET)
    texts = [*ODD, *CORPUS, *(drawn(seed) for seed in range(300))]
    for text, numbers in zip(texts, made.encode(texts), strict=True):
        assert made.decode(numbers) == text
        assert not len(numbers) or len(tokenizer.SPECIAL) <= numbers.min() <= numbers.max() < made.size


def test_bytes_that_are_no_utf8_are_told_and_read_back():
    made, draws = tokenizer.of(ASSET), random.Random(1)
    for size in range(200):
        data = bytes(draws.randrange(256) for _ in range(size)) + "苔".encode()[: size % 4]
        assert made.decode_bytes(made.encode_bytes(data)) == data
    assert np.array_equal(made.encode_bytes("plain 苔".encode()), made.encode(["plain 苔"])[0])


def test_frequent_pairs_become_one_token():
    made = tokenizer.of(ASSET)
    assert len(made.encode(["the lichen"])[0]) <= 4 < len(made.encode(["qzxwvjkpyu"])[0])
    assert tokenizer.SMALLEST < made.size <= 320 and all(made.bytes_of[len(tokenizer.SPECIAL) :])


def test_what_is_read_from_the_asset_is_what_was_learnt():
    assert json.loads(json.dumps(ASSET)) == ASSET
    library = package()
    whole = library.Tokenizer(library.models.BPE())
    whole.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = library.trainers.BpeTrainer(
        vocab_size=320 - len(tokenizer.SPECIAL),
        initial_alphabet=list(foreign.letters()),
        show_progress=False,
    )
    whole.train_from_iterator(CORPUS, trainer)
    made = tokenizer.of(ASSET)
    for text in [*ODD, *CORPUS]:
        words = whole.encode(text).tokens
        assert [made.bytes_of[number] for number in made.encode([text])[0]] == [
            bytes(foreign.letters().index(letter) for letter in word) for word in words
        ]


def test_learning_is_the_same_in_another_process():
    code = "import sys, json; from lichen.data import tokenizer; t = json.load(sys.stdin); "
    code += "print(json.dumps(tokenizer.learn(t, 320)))"
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(CORPUS), capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads},
        ).stdout
        for seed, threads in (("1", "1"), ("2", "2"))
    ]  # fmt: skip
    assert [json.loads(text) for text in found] == [ASSET, ASSET]


@pytest.mark.parametrize("change", [
    {"merges": ["t"]}, {"merges": ["the re"]}, {"merges": [5]}, {"special": ["pad"]}, {"kind": "pickle"},
    {"merges": None}, {"merges": ["t h i"]}, {"merges": ["苔 藓"]},
])  # fmt: skip
def test_a_damaged_asset_is_refused(change):
    with pytest.raises(UsageError, match="tokenizer is damaged"):
        tokenizer.of({**ASSET, **change})


def test_a_size_that_cannot_hold_the_bytes_is_refused():
    with pytest.raises(OptionError, match="260 numbers at least"):
        tokenizer.learn(CORPUS, 100)


def test_rows_are_cut_or_filled_to_one_length_also_when_streamed(monkeypatch):
    made = tokenizer.of(ASSET)
    rows = tokens.Tokens(li.texts(CORPUS[:4], splits=["train"] * 4).rows("train"), made, 6)
    whole = rows.whole()
    assert whole.dtype == np.int32 and whole.shape == (4, 6)
    for row, numbers in zip(whole, made.encode(CORPUS[:4]), strict=True):
        assert row[: len(numbers)].tolist() == numbers[:6].tolist()
        assert (row[len(numbers) :] == tokenizer.PAD).all()
    monkeypatch.setattr("lichen.data.stored.RESIDENT_BYTES", 10)
    assert np.array_equal(rows.batch([2, 0]), whole[[2, 0]])
    assert tokens.longest(rows.rows, made) == max(map(len, made.encode(CORPUS[:4])))
