"""Lines of JSON and tables of texts: rows are found again by their offsets, and bad ones are named."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lichen as li
from lichen.core.errors import DataError, UnsafeInputError
from lichen.data import records

TEXTS = [
    "plain", "two\nlines, with \"quotes\"", "", "tab\there", "中文 and 😀", "\u0000\u0001 control",
    " spaces  ", "\ufeffmark", *(f"row {row}" for row in range(30)),
]  # fmt: skip
LABELS = ["ab"[row % 2] for row in range(len(TEXTS))]


def as_jsonl(path, texts=TEXTS, labels=LABELS):
    lines = (
        json.dumps({"text": t, "label": y}, ensure_ascii=row % 2)
        for row, (t, y) in enumerate(zip(texts, labels, strict=True))
    )
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def as_csv(path, texts=TEXTS, labels=LABELS):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["label", "text"], *zip(labels, texts, strict=True)])


def as_tsv(path, texts=TEXTS, labels=LABELS):
    rows = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
    path.write_text("sentence\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8", newline="")


def as_parquet(path, texts=TEXTS, labels=LABELS):
    pq.write_table(pa.table({"text": texts, "label": labels}), path, row_group_size=7)


def as_arrow(path, texts=TEXTS, labels=LABELS):
    table = pa.table({"text": pa.array(texts).dictionary_encode(), "label": labels})
    with pa.ipc.new_file(path, table.schema) as out:
        out.write_table(table, max_chunksize=9)


FORMS = {"jsonl": as_jsonl, "csv": as_csv, "tsv": as_tsv, "parquet": as_parquet, "arrow": as_arrow}


def load(path, **options):
    return li.load(source=str(path), **{"validation": 0.0, "test": 0.0, **options})


def plain(form):
    """What the form can hold: a table with tabs has neither tabs nor line ends in its cells."""
    return [text for text in TEXTS if form != "tsv" or not set(text) & set("\n\t\0\x01")]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_read(form, tmp_path):
    texts = plain(form)
    FORMS[form](tmp_path / f"t.{form}", texts, LABELS[: len(texts)])
    data = load(tmp_path / f"t.{form}")
    rows = data.rows("train")
    assert rows.texts == texts and data.labels == ["a", "b"]
    assert [data.labels[target] for target in rows.targets] == LABELS[: len(texts)]
    assert rows.batch([5, 2, 5]) == [texts[5], texts[2], texts[5]]


def test_every_form_of_the_same_rows_has_the_same_rows(tmp_path):
    texts = plain("tsv")
    for form, write in FORMS.items():
        write(tmp_path / f"t.{form}", texts, LABELS[: len(texts)])
    found = [load(tmp_path / f"t.{form}", validation=0.3, test=0.3) for form in FORMS]
    assert (
        len({json.dumps({name: entry["digest"] for name, entry in data.splits.items()}) for data in found})
        == 1
    )


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_do_not_stay_in_memory_are_read_as_asked_for(form, tmp_path, monkeypatch):
    texts = plain(form)
    FORMS[form](tmp_path / f"t.{form}", texts, LABELS[: len(texts)])
    rows = load(tmp_path / f"t.{form}").rows("train")
    monkeypatch.setattr("lichen.data.stored.RESIDENT_BYTES", 10)
    monkeypatch.setattr("lichen.data.texts.SPAN_BYTES", 20)
    assert rows.batch([3, 0]) == [texts[3], texts[0]]
    spans = list(rows.spans())
    assert len(spans) > 3 and [text.decode() for _, span in spans for text in span] == texts


@pytest.mark.parametrize("form", FORMS)
def test_kept_rows_outlive_their_file(form, tmp_path):
    texts = plain(form)
    FORMS[form](tmp_path / f"t.{form}", texts, LABELS[: len(texts)])
    data, kept = load(tmp_path / f"t.{form}"), load(tmp_path / f"t.{form}", keep=True)
    (tmp_path / f"t.{form}").unlink()
    assert kept.identity() == data.identity() and kept.rows("train").texts == texts


def test_a_corpus_needs_no_labels_and_an_empty_name_says_that_there_are_none(tmp_path):
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"content": f"a {row}"}) + "\n" for row in range(9)))
    data = load(tmp_path / "c.jsonl")
    assert data.labels == [] and set(data.rows("train").targets.tolist()) == {-1}
    as_parquet(tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", label="").labels == []


def test_splits_come_from_a_column_or_from_the_files(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,split\n" + "".join(
        f"t {row},x{row % 2},{('train', 'dev', 'test')[row % 3]}\n" for row in range(9)))  # fmt: skip
    assert {name: load(tmp_path / "a.csv").num_rows(name) for name in ("train", "validation", "test")} == {
        "train": 3, "validation": 3, "test": 3,
    }  # fmt: skip
    folder = tmp_path / "parts"
    folder.mkdir()
    for split, some in (("train", TEXTS[8:20]), ("valid", TEXTS[20:25]), ("test", TEXTS[25:])):
        as_jsonl(folder / f"{split}.jsonl", some, LABELS[: len(some)])
    assert load(folder).num_rows("validation") == 5


@pytest.mark.parametrize("features", [None, ["*"]])
def test_a_column_of_splits_divides_every_table_alike(features, tmp_path):
    """Rows that a table keeps for the test are no train rows in another form of it."""
    words = ["train", "valid", "test", "train"]
    rows = [[f"row {row}", "ab"[row % 2], words[row // 9]] for row in range(36)]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label", "split"], *rows])
    texts, labels, splits = map(list, zip(*rows, strict=True))
    whole = pa.table({"text": texts, "label": labels, "split": pa.array(splits).dictionary_encode()})
    pq.write_table(whole, tmp_path / "t.parquet", row_group_size=7)
    found = [load(tmp_path / f"t.{form}", features=features) for form in ("csv", "parquet")]
    for data in found:
        assert [data.num_rows(name) for name in ("train", "validation", "test")] == [18, 9, 9]
        assert data.schema["columns"].keys() == found[0].schema["columns"].keys()
    assert len({json.dumps([data.splits[name]["digest"] for name in data.splits]) for data in found}) == 1
    odd = whole.set_column(2, "split", pa.array(["train"] * 35 + ["fold 3"]))
    pq.write_table(odd, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="not 'fold 3'(.|\n)*row 35"):
        load(tmp_path / "t.parquet", features=features)


def test_rows_of_one_group_stay_in_one_split(tmp_path):
    rows = [{"text": f"row {row}", "author": f"author {row % 20}"} for row in range(400)]
    (tmp_path / "g.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load(tmp_path / "g.jsonl", group="author", validation=0.3, test=0.3)
    homes = {}
    for split in data.splits:
        for text in data.rows(split).texts:
            homes.setdefault(int(text.split()[1]) % 20, set()).add(split)
    assert len(data.splits) == 3 and all(len(home) == 1 for home in homes.values())
    as_table = pa.Table.from_pylist(rows)
    pq.write_table(as_table, tmp_path / "g.parquet")
    again = load(tmp_path / "g.parquet", group="author", validation=0.3, test=0.3)
    assert again.rows("test").texts == data.rows("test").texts


def test_a_group_in_two_splits_of_the_source_leaves_the_one_that_is_judged(tmp_path):
    """Author 3 stands in train and test: nothing else says that train tells of test."""
    rows = [
        {"text": f"row {row} of {row % 20}", "author": f"author {row % 20}", "label": row % 2,
         "split": "test" if row % 20 < 4 and not (row % 20 == 3 and row < 100) else "train"}
        for row in range(400)
    ]  # fmt: skip
    (tmp_path / "g.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = []
    with li.opened(sinks=(lambda event: notes.append(str(event.get("text", ""))),)):
        data = load(tmp_path / "g.jsonl", group="author", validation=0.2)
        kept = load(tmp_path / "g.jsonl", group="author", validation=0.2, duplicates="keep")
    said = "train rows that also stand in a split that judges them, or whose `author` does"
    assert sum(f"5 {said}" in note for note in notes) == 2
    homes = {split: {text.split()[-1] for text in data.rows(split).texts} for split in data.splits}
    assert homes["test"] == {"0", "1", "2", "3"} and not homes["test"] & (
        homes["train"] | homes["validation"]
    )
    assert "3" in {text.split()[-1] for text in kept.rows("train").texts}
    with pytest.raises(DataError, match="5 rows of train also stand in a split that judges it, or rows of"):
        load(tmp_path / "g.jsonl", group="author", validation=0.2, duplicates="refuse")


BAD = {
    "no object": (b'{"text": "a"}\n[1, 2]\n', "JSON object, not list(.|\n)*bad.jsonl"),
    "no JSON": (b'{"text": "a"}\n{"text": \n', "must be a JSON object(.|\n)*bad.jsonl"),
    "bad UTF-8": (b'{"text": "a"}\n{"text": "\xff\xfe"}\n', "must be a JSON object(.|\n)*bad.jsonl"),
    "deep": (b'{"text": "a"}\n' + b"[" * 100_000 + b"\n", "too deep(.|\n)*bad.jsonl"),
    "half a character": (b'{"text": "a"}\n{"text": "\\ud800"}\n', "half a character(.|\n)*row 1"),
    "no text": (b'{"text": "a"}\n{"other": 1}\n', "this one has nothing(.|\n)*row 1"),
    "a number": (b'{"text": "a"}\n{"text": 5}\n', "this one has int(.|\n)*row 1"),
    "no label": (b'{"text": "a", "label": 1}\n{"text": "b"}\n', "must have a label(.|\n)*row 1"),
    "a huge number": (b'{"text": "a", "n": ' + b"9" * 10_000 + b"}\n", "JSON object(.|\n)*bad.jsonl"),
    "nothing": (b"\n\n", "has none(.|\n)*bad.jsonl"),
    "binary": (bytes(range(256)) * 4, "must be a JSON object(.|\n)*bad.jsonl"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named(case, tmp_path):
    data, text = BAD[case]
    (tmp_path / "bad.jsonl").write_bytes(data)
    with pytest.raises(DataError, match=text):
        load(tmp_path / "bad.jsonl")


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MAX_LINE", 1000)
    for name in ("bad.jsonl", "bad.csv"):
        (tmp_path / name).write_bytes((b"" if "json" in name else b"text,label\n") + b'"' + b"a" * 2000)
        with pytest.raises(UnsafeInputError, match="1000 bytes at most"):
            load(tmp_path / name)


def test_bad_tables_are_named(tmp_path):
    for data, text in (
        (b"text,label\nonly one\n", "2 cells, not 1"),
        (b'text,label\n"never closed,1\n', "cannot be read"),
        (b"text,label\n\xff,1\n", "cannot be read"),
        (b"text,label\na,\n", "must have a label"),
    ):
        (tmp_path / "bad.csv").write_bytes(data)
        with pytest.raises(DataError, match=text + r"(.|\n)*bad\.csv"):
            load(tmp_path / "bad.csv")


@pytest.mark.parametrize("cells", [["a", None], pa.array([1, 2])])
def test_cells_of_a_table_that_hold_no_text_are_named(cells, tmp_path):
    pq.write_table(pa.table({"text": cells, "label": ["x", "y"]}), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="hold(s)? (its )?text"):
        load(tmp_path / "bad.parquet", text="text")


def test_text_that_is_no_utf8_inside_a_table_is_refused(tmp_path):
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], "<i4").tobytes()), pa.py_buffer(b"a\xff")]
    )
    with pa.ipc.new_file(tmp_path / "bad.arrow", pa.schema([("text", pa.string())])) as out:
        out.write_batch(pa.record_batch({"text": bad}))
    with pytest.raises(DataError, match="UTF8"):
        load(tmp_path / "bad.arrow")


def test_a_row_that_changed_or_went_is_named(tmp_path):
    as_jsonl(tmp_path / "t.jsonl")
    rows = load(tmp_path / "t.jsonl").rows("train")
    rows = type(rows)(
        **{name: getattr(rows, name) for name in rows.__dataclass_fields__} | {"identity": "new"}
    )
    data = (tmp_path / "t.jsonl").read_bytes()
    (tmp_path / "t.jsonl").write_bytes(data.replace(b"row 7", b"row 8"))
    with pytest.raises(DataError, match="has changed(.|\n)*t.jsonl"):
        _ = rows.texts
    (tmp_path / "t.jsonl").unlink()
    with pytest.raises(DataError, match="gone"):
        _ = rows.texts
