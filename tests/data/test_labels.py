"""labels: rows of several labels say the same however they are written, and keep it through every door."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import lichen as li
from lichen.core.errors import DataError, OptionError
from lichen.data import manifest, survey
from lichen.data.labels import listed, marked, several
from lichen.data.scan import class_names, part

TAGS = [("cat", "dog"), ("dog",), (), ("bird", "cat"), ("bird",)]


def test_words_of_one_number_have_an_order_that_no_process_changes():
    """Of seven there are 5 040 orders; a set has another one in each process."""
    found = [f"{'0' * zeros}1" for zeros in range(7)]
    rows = part([bytes(32)] * 9, [*found, "2", "0"], files=(), file=0, position=0)
    assert class_names({"train": rows}) == ["0", *sorted(found), "2"]


def test_a_class_that_is_named_twice_is_refused(tmp_path):
    """Its rows would all be of the second, and nobody would be of the first."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 8, 8), dtype=np.uint8)
    with pytest.raises(DataError, match="`crane` is named again"):
        li.arrays(pixels, np.arange(9) % 3, labels=["crane", "gull", "crane"])
    feature = {"_type": "ClassLabel", "names": ["crane", "gull", "crane"]}
    about = json.dumps({"info": {"features": {"label": feature}}})
    rows = pa.table({"text": [f"text {row}" for row in range(9)], "label": [row % 3 for row in range(9)]})
    pq.write_table(rows.replace_schema_metadata({"huggingface": about}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="`crane` is named again"):
        load(str(tmp_path / "t.parquet"))


def png(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def folder(tmp_path, head, cells):
    (tmp_path / "p").mkdir(parents=True)
    lines = [head]
    for place, cell in enumerate(cells):
        (tmp_path / "p" / f"{place}.png").write_bytes(png(place))
        lines.append(f"p/{place}.png,{cell}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path)


def load(place, **options):
    return li.load(place, validation=0.0, test=0.0, **options)


def said(data):
    rows = data.rows("train")
    return {rows.describe(row)[-5:]: {data.labels[k] for k in np.flatnonzero(marks)}
            for row, marks in enumerate(rows.targets)}  # fmt: skip


WANTED = {f"{place}.png": set(tags) for place, tags in enumerate(TAGS)}


def test_a_separator_and_columns_of_marks_say_the_same(tmp_path):
    words = load(folder(tmp_path / "a", "file_name,label", ["|".join(tags) for tags in TAGS]), separator="|")
    marks = [",".join(str(int(name in tags)) for name in ("bird", "cat", "dog")) for tags in TAGS]
    columns = load(
        folder(tmp_path / "b", "file_name,bird,cat,dog", marks), label_columns=["bird", "cat", "dog"]
    )
    for data in (words, columns):
        assert {name[-5:]: tags for name, tags in said(data).items()} == WANTED
        assert data.labels == ["bird", "cat", "dog"] and data.rows("train").targets.dtype == np.uint8
    assert columns.splits["train"]["digest"] == words.splits["train"]["digest"]


def test_parquet_lists_words_and_marks(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    features = {
        "tags": {"_type": "Sequence", "feature": {"_type": "ClassLabel", "names": ["bird", "cat", "dog"]}}
    }
    numbers = [[["bird", "cat", "dog"].index(tag) for tag in tags] for tags in TAGS]
    table = pa.table({
        "image": [png(place) for place in range(len(TAGS))], "tags": pa.array(numbers, pa.list_(pa.int64())),
        "text": [";".join(tags) for tags in TAGS], "bird": ["bird" in tags for tags in TAGS],
        "cat": ["cat" in tags for tags in TAGS], "dog": [float("dog" in tags) for tags in TAGS],
    }).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})  # fmt: skip
    pq.write_table(table, tmp_path / "train.parquet")
    found = [load(str(tmp_path), label="tags"), load(str(tmp_path), label="text", separator=";"),
             load(str(tmp_path), label_columns=["bird", "cat", "dog"])]  # fmt: skip
    for data in found:
        assert [set(np.array(data.labels)[marks > 0]) for marks in data.rows("train").targets] == [
            set(tags) for tags in TAGS
        ]


def test_arrays_of_marks_and_lists_of_words_are_equal_data():
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 6, 6)).astype("uint8")
    names = ["bird", "cat", "dog"]
    marks = np.array([[int(name in tags) for name in names] for tags in TAGS])
    one, two = (li.arrays(images, targets, labels=names, splits=["train"] * 5) for targets in (marks, TAGS))
    assert one.digest == two.digest and (one.rows("train").targets == marks).all()
    kept = one.opened(("train",)).rows("train")
    assert kept.targets.shape == (5, 3)


def test_more_labels_than_a_number_has_bits_are_kept():
    draws = np.random.default_rng(1)
    marks = draws.integers(0, 2, (9, 150))
    data = li.arrays(draws.integers(0, 256, (9, 1, 5, 5)).astype("uint8"), marks, splits=["train"] * 9)
    assert (data.rows("train").targets == marks).all() and data.labels[:3] == ["0", "1", "2"]
    packed = manifest._words(marks.astype("uint8"))
    assert packed.shape == (3, 9) and (manifest._marks(packed, 150) == marks).all()


def test_classes_in_a_told_order_and_labels_that_are_none_of_them(tmp_path):
    place = folder(tmp_path, "file_name,label", ["good", "bad", "fair", "good", "bad"])
    data = load(place, classes=["bad", "fair", "good"])
    assert data.labels == ["bad", "fair", "good"] and sorted(data.rows("train").targets) == [0, 0, 1, 2, 2]
    with pytest.raises(DataError, match="`fair` is none of the classes"):
        load(place, classes=["bad", "good"])


@pytest.mark.parametrize("cell", ["2", "", "-1", "maybe", None, float("nan")])
def test_a_mark_is_0_or_1(cell):
    with pytest.raises(DataError, match="must hold 0 or 1"):
        marked({"cat": cell}, "here")
    assert marked({"b": True, "a": "1", "c": 0.0, "d": "no"}, "here") == ("a", "b")


def test_cells_are_split_trimmed_and_sorted_and_each_label_stands_once():
    assert listed(" dog | cat||dog ", "|") == several(["cat", "dog"]) == ("cat", "dog")
    assert listed("", "|") == ()


def test_options_that_contradict_or_mean_nothing_are_refused(tmp_path):
    place = folder(tmp_path, "file_name,label", ["a", "b", "a", "b", "a"])
    with pytest.raises(OptionError, match="not in both"):
        load(place, label_columns=["label"], separator="|")
    with pytest.raises(OptionError, match="`separator` means nothing"):
        load("digits", separator=",")
    with pytest.raises(DataError, match="no column `cats`"):
        load(place, label_columns=["cats"])


def test_a_survey_counts_every_label(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"image": [png(place) for place in range(5)], "labels": [list(t) for t in TAGS]}),
                   tmp_path / "train.parquet")  # fmt: skip
    found, _ = survey.survey(str(tmp_path))
    assert found.are_several and sum(found.labels["cat"].values()) == 2


def test_words_that_only_look_like_numbers_stay_apart(tmp_path):
    """Python reads 1_2 as 12 and 007 as 7; a class is its own name."""
    cells = ["1_2", "12", "007", "7", "1e3", "1000", "7.0", "inf", "-1", str(2**53 + 1), str(2**53)]
    data = load(folder(tmp_path, "file_name,label", cells))
    rows = data.rows("train")
    found = {
        rows.describe(row).rpartition("/")[2][:-4]: data.labels[target]
        for row, target in enumerate(rows.targets)
    }
    assert found == {str(place): "7" if cell == "7.0" else cell for place, cell in enumerate(cells)}


@pytest.mark.parametrize("cell", ["0.5", "-.25", "1.50", "", "nan"])
def test_what_is_no_class_is_refused(tmp_path, cell):
    with pytest.raises(DataError, match="label"):
        load(folder(tmp_path, "file_name,label", ["1", cell]))
