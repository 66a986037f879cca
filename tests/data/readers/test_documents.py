"""Text files: documents by folder, a lone file in passages whose cuts its content decides."""

import io
import random

import pytest

import lichen as li
from lichen.core.errors import DataError, OptionError, UnsafeInputError
from lichen.data.readers import documents


def load(path, **options):
    return li.load(source=str(path), **{"validation": 0.0, "test": 0.0, **options})


def written(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def prose(seed, size):
    draws, parts = random.Random(seed), []
    while sum(map(len, parts)) < size:
        words = (
            draws.choice(["moss", "lichen", "bark", "stone", "雨"]) for _ in range(draws.randrange(5, 90))
        )
        parts.append(" ".join(words) + draws.choice(["\n", "\n\n", "\r\n\r\n", "\n\n\n"]))
    return "".join(parts).encode()


def cut(data):
    return [text for _, text in documents.passages(io.BytesIO(data))]


FILES = {
    "prose": prose(1, 300_000),
    "one long word": b"a" * 100_000,
    "no spaces": "雨".encode() * 50_000,
    "one line": b"x y " * 30_000,
    "empty lines": b"\n" * 100_000,
    "no empty lines": b"one\n" * 30_000,
    "short": b"short",
    "empty": b"",
}


@pytest.mark.parametrize("kind", FILES)
def test_passages_joined_are_the_file_and_none_is_too_long(kind):
    data = FILES[kind]
    parts = cut(data)
    assert b"".join(parts) == data
    assert all(0 < len(part) <= documents.LONGEST for part in parts)
    for part in parts:
        part.decode()


def test_text_that_is_added_moves_only_the_cuts_beside_it():
    data = prose(2, 600_000)
    end = data.index(b"\n\n", 1000) + 2
    before, after = cut(data), cut(data[:end] + prose(3, 5_000) + data[end:])
    assert len(before) > 40 and len(set(before) - set(after)) <= 4


def test_a_lone_file_is_cut_and_several_are_documents(tmp_path):
    (tmp_path / "book.txt").write_bytes(prose(4, 60_000))
    rows = load(tmp_path / "book.txt").rows("train")
    assert rows.num_rows > 3 and "".join(rows.texts).encode() == (tmp_path / "book.txt").read_bytes()
    folder = written(tmp_path / "d", {"b.txt": "second", "a.md": "first", "README.md": "about"})
    assert load(folder).rows("train").texts == ["first", "second"]
    assert load(tmp_path / "book.txt", unit="document").num_rows("train") == 1


def test_lines_are_rows_where_told(tmp_path):
    (tmp_path / "l.txt").write_bytes("one\r\n\n  \ntwo\nöäü".encode())
    assert load(tmp_path / "l.txt", unit="line").rows("train").texts == ["one", "two", "öäü"]


def test_folders_are_splits_and_classes(tmp_path):
    files = {f"{split}/{label}/{row}.txt": f"{split} {label} {row}"
             for split in ("train", "test") for label in ("neg", "pos") for row in range(4)}  # fmt: skip
    data = load(written(tmp_path / "a", files))
    assert data.labels == ["neg", "pos"] and data.num_rows("test") == 8
    assert (
        data.rows("test").texts[0] == "test neg 0" and data.rows("test").targets.tolist() == [0] * 4 + [1] * 4
    )
    assert load(tmp_path / "a", label="").labels == []
    data = load(written(tmp_path / "b", {"train.txt": "some text", "valid.txt": "more", "test.txt": "last"}))
    assert {name: data.num_rows(name) for name in data.splits} == {"train": 1, "validation": 1, "test": 1}


def test_new_documents_never_move_old_ones(tmp_path):
    folder = written(tmp_path / "d", {f"{row}.txt": f"document {row}" for row in range(200)})
    before = li.load(folder)
    homes = {text: split for split in before.splits for text in before.rows(split).texts}
    after = li.load(written(folder, {f"new{row}.txt": f"new document {row}" for row in range(50)}))
    again = {text: split for split in after.splits for text in after.rows(split).texts}
    assert all(again[text] == split for text, split in homes.items()) and len(set(homes.values())) == 3


def test_every_unicode_text_is_read_as_written(tmp_path):
    text = "".join(map(chr, [*range(1, 0x300), *range(0x4E00, 0x4E20), 0x1F600, 0x10FFFF, 0xFEFF]))
    (tmp_path / "u.txt").write_bytes(text.encode())
    assert load(tmp_path / "u.txt").rows("train").texts == [text]


BAD = {
    "latin": (b"caf\xe9", "UTF-8; byte 3 is not"),
    "cut": ("雨".encode()[:2], "UTF-8; byte 0 is not"),
    "binary": (b"abc\0def", "byte 3 is 0"),
    "utf-16": ("text".encode("utf-16"), "byte 3 is 0(.|\n)*save it as UTF-8"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("unit", documents.UNITS)
def test_what_is_no_text_is_named(case, unit, tmp_path):
    data, text = BAD[case]
    (tmp_path / "bad.txt").write_bytes(data)
    with pytest.raises(DataError, match=text if unit != "line" else "bad.txt"):
        load(tmp_path / "bad.txt", unit=unit)


def test_mistakes_are_named(tmp_path, monkeypatch):
    mixed = written(tmp_path / "m", {"a/1.txt": "x", "b/2.txt": "y", "3.txt": "z"})
    with pytest.raises(DataError, match="folder of its class(.|\n)*3.txt(.|\n)*label=''"):
        load(mixed)
    assert load(mixed, label="").num_rows("train") == 3
    with pytest.raises(OptionError, match="no columns"):
        load(mixed, text="text")
    for other in ("test", "val"):
        odd = written(tmp_path / other, {"train/a/1.txt": "x", f"{other}/a/2.txt": "y", "more/a/3.txt": "z"})
        with pytest.raises(DataError, match="must belong to a split(.|\n)*more"):
            load(odd)
    monkeypatch.setattr(documents, "MAX_DOCUMENT", 3)
    with pytest.raises(UnsafeInputError, match="3 bytes at most, not 9"):
        load(written(tmp_path / "l", {"1.txt": "long text", "2.txt": "y"}))
