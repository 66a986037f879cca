"""Pairs are rows of their own kind: read from any table, kept together by source, compared by source."""

import csv
import json

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError, OptionError, UsageError
from lichen.data import bitext

PAIRS = [("a stone, wet", "ein Stein, nass"), ('say "moss"', 'sag "Moos"'), ("old\tbark", "alte\tRinde")]


def written(folder, form, pairs=PAIRS, name="train"):
    """A table of pairs in columns en and de."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.{form}"
    if form == "parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"en": [a for a, _ in pairs], "de": [b for _, b in pairs]}), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps({"en": a, "de": b}) + "\n" for a, b in pairs))
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("en", "de"), *pairs])
    return folder


def loaded(folder, **how):
    return li.load(str(folder), **{"text": "en", "target": "de", "validation": 0.0, "test": 0.0, **how})


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize("keep", [False, True])
def test_pairs_of_any_table_are_read_as_they_were_written(tmp_path, form, keep):
    data = loaded(written(tmp_path / "pairs", form), keep=keep)
    assert list(data.rows("train").pairs()) == PAIRS
    assert data.rows("train").wanted == [target for _, target in PAIRS]
    assert data.schema["columns"] == {"text": "en", "target": "de"}
    assert "text" not in data.schema


def test_forms_give_the_same_rows(tmp_path):
    digests = {form: loaded(written(tmp_path / form, form)).splits["train"]["digest"]
               for form in ("parquet", "jsonl", "csv")}  # fmt: skip
    assert len(set(digests.values())) == 1


def test_pairs_of_one_source_never_part():
    sources = [f"stone {row % 40}" for row in range(200)]
    data = li.bitext(sources, [f"Stein {row}" for row in range(200)], validation=0.3, test=0.3)
    found = {split: set(data.rows(split).sources) for split in data.splits}
    assert set(found) == {"train", "validation", "test"}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not found[one] & found[other]


def notes(**how):
    """What is said of sixty pairs when one more, planted, is judged."""
    said = []
    with li.opened(sinks=(lambda event: said.append(str(event.get("text", ""))),)):
        sources = [" ".join(np.random.default_rng(row).choice(list("abcdefghij"), 9)) for row in range(60)]
        targets = [f"Zeile {row} von sechzig" for row in range(60)]
        planted = {"source": sources[3], "target": "ganz etwas anderes steht hier", **how}
        li.bitext([*sources, planted["source"]], [*targets, planted["target"]],
                  splits=["train"] * 60 + ["test"])  # fmt: skip
    return " ".join(said)


def test_a_source_seen_in_train_is_reported_whatever_its_target():
    assert "1 test row has a near duplicate in train" in notes()
    assert "near duplicate" not in notes(source="some other words that stand nowhere else")


def test_pairs_whose_source_nearly_stands_in_validation_can_leave_train():
    sources = [" ".join(np.random.default_rng(row).choice(list("abcdefghij"), 9)) for row in range(40)]
    data = li.bitext([*sources, sources[7] + " k"], [f"Zeile {row}" for row in range(41)],
                     splits=["train"] * 40 + ["validation"])  # fmt: skip
    left = li.prepare.deduplicate(data).rows("train").sources
    assert sources[7] not in left and len(left) == 39


def test_equal_pairs_across_splits_are_refused_or_dropped():
    given = (["moss", "moss", "rain"], ["Moos", "Moos", "Regen"], ["train", "test", "train"])
    with pytest.raises(DataError, match="also stand in a split that judges it"):
        li.bitext(*given)
    assert li.bitext(*given, duplicates="drop").rows("train").sources == ["rain"]


@pytest.mark.parametrize(
    ("pair", "said"),
    [(("a\x1fb", "c"), "U\\+001F"), (("a", "  "), "its target is empty"), (("", "b"), "its text")],
)
def test_what_is_no_pair_is_refused(tmp_path, pair, said):
    with pytest.raises(DataError, match=said):
        li.bitext(["moss", pair[0]], ["Moos", pair[1]])
    with pytest.raises(DataError, match=said) as caught:
        loaded(written(tmp_path / "pairs", "jsonl", [*PAIRS, pair]))
    assert "row 3" in caught.value.where


def test_mistakes_about_columns_are_named(tmp_path):
    folder = written(tmp_path / "pairs", "jsonl")
    with pytest.raises(DataError, match="no column `dde`"):
        loaded(folder, target="dde")
    with pytest.raises(DataError, match="no column looks like the text"):
        loaded(written(tmp_path / "table", "csv"), text=None)
    with pytest.raises(OptionError, match="neither labels nor pictures"):
        loaded(folder, label="en")
    with pytest.raises(OptionError, match="must be two columns, not both `en`"):
        loaded(folder, target="en")
    (tmp_path / "pixels.csv").write_text("label,a,b,c,d\n0,1,2,3,4\n")
    with pytest.raises(DataError, match="no column looks like the text"):
        li.load(str(tmp_path / "pixels.csv"), target="a")
    with pytest.raises(OptionError, match="`target` means nothing"):
        li.load("digits", target="de")
    with pytest.raises(DataError, match="one target per text"):
        li.bitext(["a", "b"], ["c"])


def test_a_tokenizer_is_learnt_from_both_sides():
    data = li.bitext([f"moss moss {row}" for row in range(30)], [f"Flechte {row}" for row in range(30)])
    merges = li.prepare.bpe(data, size=300).assets["tokenizer"]["merges"]
    whole = {merge.replace(" ", "") for merge in merges}
    assert {"moss", "Flechte"} <= {word.lstrip("\u0120") for word in whole}
    assert not any(bitext.SEPARATOR.decode() in word or "\u013f" in word for word in whole)


def test_what_reads_texts_refuses_pairs():
    data = li.bitext([f"moss {row}" for row in range(40)], [f"Moos {row}" for row in range(40)])
    teller = li.prepare.bpe(data, size=260)
    with pytest.raises((DataError, UsageError), match=r"pairs of texts|column for `text`"):
        li.pretrain.language(data, teller, steps=1)
    with pytest.raises(DataError, match="label"):
        li.pretrain.train(data, teller, net="bag", task="text_classification", epochs=1)
