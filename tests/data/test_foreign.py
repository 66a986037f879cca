"""Tokenizers of others tell texts as their own libraries do, and give them back."""

import itertools
import json
import os
from pathlib import Path

import pytest
import tokenizers
import translations
from languages import llama_folder

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.data import foreign, packing, pairing, tokenizer
from lichen.engine.language import llamafolder

STORIES = Path(os.environ.get("LICHEN_DATA", "/nowhere")) / "pretrained" / "stories260k"
TEXTS = ["Once upon a time", "Lily & the café\n\n😀", "", " two  spaces ", "苔藓 \x00 <s>"]


def put_together(text, pieces, scores):
    """SentencePiece's way: letters, then again and again the neighbours whose joint piece scores best."""
    known = {piece: place for place, piece in enumerate(pieces)}
    parts = list(" " + text)
    while True:
        joined = [(scores[known[a + b]], -place) for place, (a, b) in enumerate(itertools.pairwise(parts))
                  if a + b in known]  # fmt: skip
        if not joined:
            break
        place = -max(joined)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return [number for part in parts for number in
            ([known[part]] if part in known else [3 + byte for byte in part.encode()])]  # fmt: skip


@pytest.mark.skipif(not STORIES.is_dir(), reason="needs LICHEN_DATA with pretrained/stories260k")
def test_pieces_are_put_together_as_sentencepiece_does():
    listed = json.loads((STORIES / "vocab512.json").read_text())
    asset = foreign.asset_of(STORIES, json.loads((STORIES / "config.json").read_text()))
    made = tokenizer.of(asset)
    pieces, scores = asset["pieces"], [one["score"] for one in listed]
    texts = [*TEXTS[:4], 'She said, "I don\'t want to play with the big red ball." Then it was gone.']
    for text, numbers in zip(texts, made.encode(texts), strict=True):
        if text:
            assert numbers.tolist() == put_together(text, pieces, scores)
            assert made.decode(numbers) == f" {text}"
    assert (made.end, made.stops, made.size) == (1, frozenset({1, 2}), 512)


@pytest.mark.parametrize("space", [" ", foreign.SPACE])
def test_written_pieces_are_read_and_told_by_their_library_as_here(space):
    pieces = [*foreign.APART, *(f"<0x{byte:02X}>" for byte in range(256)), space, *"moncetpi"]
    asset = {"kind": "pieces", "pieces": [*pieces, f"{space}m", "on", "once"], "end": 1, "stops": [2]}
    theirs, ours = tokenizers.Tokenizer.from_str(tokenizer.written(asset)), tokenizer.of(asset)
    for text in TEXTS[:4]:
        found = theirs.encode(text).ids
        assert found == [ours.end, *ours.encode([text])[0].tolist()]
        assert theirs.decode([*found, 2]) == text == ours.decode(found).removeprefix(" ")


def written(special=True):
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|begin|>", "<|end|>"],
    )  # fmt: skip
    made.train_from_iterator(TEXTS, trainer)
    made.enable_truncation(3)
    return made


def test_a_tokenizer_file_tells_what_its_library_tells(tmp_path):
    theirs = written()
    theirs.save(str(tmp_path / "tokenizer.json"))
    asset = foreign.asset_of(tmp_path, {"bos_token_id": 0, "eos_token_id": [1]})
    made = tokenizer.of(json.loads(json.dumps(asset)))
    theirs.no_truncation()
    for text, numbers in zip(TEXTS, made.encode(TEXTS), strict=True):
        assert numbers.tolist() == theirs.encode(text, add_special_tokens=False).ids
        assert made.decode(numbers) == text
    assert made.decode([0, 1, made.end]) == ""
    # What begins documents cannot fill rows up: it changed places with a number that was added.
    assert (made.end, made.stops, made.size) == (290, frozenset({290, 1}), 291)


def test_what_is_no_tokenizer_is_named(tmp_path):
    with pytest.raises(DataError, match="beside its tokenizer"):
        foreign.asset_of(tmp_path, {})
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="must be JSON"):
        foreign.asset_of(tmp_path, {})
    for asset in ({"kind": "file", "file": {}, "end": 0, "stops": []}, {"kind": "pieces", "pieces": ["a"]}):
        with pytest.raises(UsageError, match="tokenizer is damaged"):
            tokenizer.of(asset)


def test_a_number_0_that_says_something_is_refused():
    made = written().to_str()
    file = json.loads(made)
    file["added_tokens"] = []
    file["model"]["vocab"] = {word: number for word, number in file["model"]["vocab"].items() if number > 1}
    file["model"]["vocab"] |= {"\u0100": 0, "\u0101": 1}
    with pytest.raises(UsageError, match="number 0 of a tokenizer must stand for no text"):
        tokenizer.of({"kind": "file", "file": file, "end": 1, "stops": []})


def test_the_space_before_pieces_is_no_byte_of_the_text(tmp_path):
    model = llamafolder.read(llama_folder(tmp_path / "small"))
    data = li.texts([f"moss on bark {row}" for row in range(30)], splits=["train"] * 30)
    told = packing.Packs(data.rows("train"), tokenizer.of(model.assets["tokenizer"]), 7).targets
    for number, text in enumerate(data.rows("train").texts):
        assert told[..., 1][told[..., 0] == number].sum() == len(text.encode())
    both = translations.pairs(40, validation=0.0, test=0.0).rows("train")
    bytes_NT = pairing.Pairs(both, tokenizer.of(model.assets["tokenizer"]), 200).targets
    assert bytes_NT.clip(0).sum(1).tolist() == [len(text.encode()) for text in both.wanted]


def test_the_space_before_the_texts_of_a_file_is_no_byte_of_them_either(tmp_path):
    """A folder that leaves and comes back tells as many bytes of a text as before."""
    model = llamafolder.read(llama_folder(tmp_path / "small"))
    (tmp_path / "again").mkdir()
    llamafolder.write(model, tmp_path / "again")
    again = llamafolder.read(tmp_path / "again")
    data = li.texts([f"moss on bark {row}" for row in range(30)], splits=["train"] * 30)
    one, other = (
        packing.Packs(data.rows("train"), tokenizer.of(made.assets["tokenizer"]), 7).targets
        for made in (model, again)
    )
    assert again.assets["tokenizer"]["kind"] == "file" and (one == other).all()
    assert tokenizer.of(again.assets["tokenizer"]).num_before == 1
    written().save(str(tmp_path / "tokenizer.json"))
    assert tokenizer.of(foreign.asset_of(tmp_path, {"bos_token_id": 0})).num_before == 0
