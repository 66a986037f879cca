"""Loading: every source gives rows by digest, and every bad input one clear error."""

import csv
import gzip
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import lichen as li
from lichen.core.errors import DataError, LeakError, NotFoundError, OptionError, UnsafeInputError
from lichen.data.stored import Kept

SHARED = os.environ.get("LICHEN_DATA")
needs_data = pytest.mark.skipif(not SHARED, reason="LICHEN_DATA is not set: real data is not here")


@pytest.fixture(autouse=True)
def nothing_decoded_yet(monkeypatch):
    monkeypatch.setattr("lichen.data.stored.KEPT", Kept(10**9))


def png(seed, size=(6, 6), mode="RGB"):
    channels = () if mode == "L" else (3,)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, *channels), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def bomb():
    """A PNG whose header declares 20 000 x 20 000 pixels."""
    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + head
        + crc
        + struct.pack(">I", 0)
        + b"IDAT"
        + bytes(4)
    )


def folder(root, names=("cat", "dog"), count=30):
    for place, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for row in range(count):
            (root / name / f"{row}.png").write_bytes(png(place * 1000 + row))
    return root


def table(path, images, labels):
    pq.write_table(
        pa.table({"image": [{"bytes": image, "path": None} for image in images], "label": labels}), path
    )
    return path


def load(path, **options):
    return li.load(source=str(path), **options)


def test_digits_have_their_pixels_and_stand_in_three_splits():
    from sklearn.datasets import load_digits

    data = li.load(source="digits")
    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images * 255 / 16).astype(np.uint8)
    expected = {row.tobytes(): label for row, label in zip(pixels, labels, strict=True)}
    for split in ("train", "validation"):
        rows = data.rows(split)
        assert rows.images.shape[1:] == (1, 8, 8) and len(set(rows.ids.tolist())) == rows.num_rows
        assert [expected[image.tobytes()] for image in rows.images] == rows.targets.tolist()
    assert sum(data.num_rows(split) for split in data.splits) == 1797


def test_a_moved_folder_is_the_same_dataset(tmp_path):
    first = load(folder(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    second = load(tmp_path / "b")
    assert first == second and first.root != second.root


def test_a_folder_and_a_table_of_the_same_pictures_have_the_same_rows(tmp_path):
    files = sorted(folder(tmp_path / "a").glob("*/*.png"))
    path = table(tmp_path / "t.parquet", [f.read_bytes() for f in files], [f.parent.name for f in files])
    one, two = load(tmp_path / "a").rows("train"), load(path).rows("train")
    assert set(one.ids.tolist()) == set(two.ids.tolist())


def test_kept_rows_outlive_their_files(tmp_path):
    data = load(folder(tmp_path / "a"))
    kept = load(tmp_path / "a", keep=True)
    images = data.rows("train").images.copy()
    for file in (tmp_path / "a").glob("*/*.png"):
        file.unlink()
    assert kept.identity() == data.identity()
    assert np.array_equal(kept.rows("train").batch(range(len(images))), images)


def test_a_row_that_changed_or_went_is_named(tmp_path, monkeypatch):
    rows = load(folder(tmp_path / "a")).rows("train")
    monkeypatch.setattr("lichen.data.stored.KEPT", Kept(10**9))  # as in another process than the load's
    Path(rows.describe(0)).write_bytes(png(77))
    Path(rows.describe(1)).unlink()
    with pytest.raises(DataError, match="has changed(.|\n)*" + rows.describe(0)):
        rows.batch([0])
    with pytest.raises(DataError, match="gone(.|\n)*" + rows.describe(1)):
        rows.batch([1])


def test_pictures_of_several_sizes_are_resized_when_asked_for(tmp_path):
    folder(tmp_path / "a")
    (tmp_path / "a/cat/wide.png").write_bytes(png(5, size=(4, 9)))
    (tmp_path / "a/dog/grey.png").write_bytes(png(6, size=(8, 8), mode="L"))
    rows = load(tmp_path / "a").rows("train")
    assert rows.images_at([0, 1, rows.num_rows - 1], 12).shape == (3, 3, 12, 12)
    assert rows.at_size(5).shape == (rows.num_rows, 3, 5, 5)
    with pytest.raises(DataError, match="differ in size"):
        _ = rows.images


def test_split_folders_and_split_files_are_taken_as_they_are(tmp_path):
    for split, count in (("train", 20), ("val", 5), ("test", 6)):
        folder(tmp_path / "a" / split, count=count)
    data = load(tmp_path / "a", duplicates="keep")
    assert [data.num_rows(name) for name in ("train", "validation", "test")] == [40, 10, 12]
    with pytest.raises(DataError, match="also stand in"):
        load(tmp_path / "a", duplicates="refuse")


@pytest.mark.parametrize("judge", ["test", "val"])
def test_a_folder_beside_splits_that_is_none_is_refused_and_no_split_is_a_class(judge, tmp_path):
    for name in ("train", judge, "unlabelled"):
        folder(tmp_path / name, count=5)
    with pytest.raises(DataError, match="must be splits, too; `unlabelled`"):
        load(tmp_path)
    (tmp_path / "unlabelled").rename(tmp_path / "bus")
    (tmp_path / judge).rename(tmp_path / "tram")
    assert load(tmp_path).labels == ["bus", "train", "tram"]


def test_the_test_split_is_guarded(tmp_path):
    with pytest.raises(LeakError):
        load(folder(tmp_path / "a")).opened(("train",)).rows("test")


def test_idx_files_read_as_they_were_written(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 5, 4), dtype=np.uint8)
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">4I", 0x803, 20, 5, 4) + pixels.tobytes())
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 20) + bytes([0, 1] * 10))
    rows = load(tmp_path, validation=0.0, test=0.0).rows("train")
    assert np.array_equal(rows.images[:, 0], pixels) and rows.targets.tolist() == [0, 1] * 10
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 20) + bytes(19))
    with pytest.raises(DataError, match="declares 20 bytes, but there are 19(.|\n)*train-labels"):
        load(tmp_path)


def test_tables_of_paths_and_of_pixels(tmp_path):
    (tmp_path / "p").mkdir()
    files = sorted(folder(tmp_path / "p/pics").glob("*/*.png"))
    rows = [[f.relative_to(tmp_path / "p").as_posix(), f.parent.name] for f in files]
    with (tmp_path / "p/metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "label"], *rows])
    assert load(tmp_path / "p").labels == ["cat", "dog"]
    with (tmp_path / "k.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["label", "a", "b", "c", "d"], *[[r % 2, r, 0, 255, 9] for r in range(50)]]
        )
    rows = load(tmp_path / "k.csv", validation=0.0, test=0.0).rows("train")
    assert rows.images.shape == (50, 1, 2, 2) and rows.images[7].reshape(-1).tolist() == [7, 0, 255, 9]
    (tmp_path / "k.csv").write_text("label,a,b,c,d\n0,1,2,3,4\n1,1,2,nan,4\n")
    with pytest.raises(DataError, match="'nan'(.|\n)*row 1, column c"):
        load(tmp_path / "k.csv")


@pytest.mark.parametrize("told", [{"features": ["*"]}, {"unit": "line"}])
def test_what_means_nothing_to_a_source_is_refused(told, tmp_path):
    (name,) = told
    with pytest.raises(OptionError, match=f"`{name}`"):
        load(folder(tmp_path / "pics"), **told)
    with pytest.raises(OptionError, match=f"`{name}`"):
        li.load("digits", **told)


def test_columns_of_cells_mean_nothing_to_text_files(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    with pytest.raises(OptionError, match="`features`"):
        load(tmp_path, features=["*"])


@pytest.mark.parametrize("form", ["paths", "pixels"])
def test_rows_of_a_group_stay_in_one_split_of_a_table_of_pictures(form, tmp_path):
    draws = np.random.default_rng(4)
    pixels, patients = draws.integers(0, 255, (90, 4)), [f"p{row // 9}" for row in range(90)]
    if form == "paths":
        (tmp_path / "pics").mkdir()
        for row, four in enumerate(pixels):
            Image.fromarray(four.astype(np.uint8).reshape(2, 2)).save(tmp_path / f"pics/{row}.png")
        head, cells = ["file_name"], [[f"pics/{row}.png"] for row in range(90)]
    else:
        head, cells = list("abcd"), pixels.tolist()
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([
            ["label", "patient", *head], *([r % 2, patients[r], *cells[r]] for r in range(90))
        ])  # fmt: skip
    whose = {tuple(four): patient for four, patient in zip(pixels.tolist(), patients, strict=True)}
    data = load(tmp_path, group="patient", validation=0.3, test=0.3)
    found = {
        split: {whose[tuple(four)] for four in data.rows(split).images.reshape(-1, 4).tolist()}
        for split in data.splits
    }
    assert len(found) == 3 and sum(map(len, found.values())) == 10
    with pytest.raises(DataError, match="no column `patent`(.|\n)*did you mean `patient`"):
        load(tmp_path, group="patent")


BAD = {
    "unreadable": ([b"no picture"], ["a"], DataError, "cannot be read(.|\n)*row 3"),
    "bomb": ([bomb()], ["a"], UnsafeInputError, "row 3"),
    "empty": ([None], ["a"], DataError, "cell is empty(.|\n)*row 3, column image"),
    "unlabelled": ([png(9)], [None], DataError, "none(.|\n)*row 3, column label"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_cell_is_named(case, tmp_path):
    images, labels, error, text = BAD[case]
    path = table(tmp_path / "t.parquet", [png(0), png(1), png(2), *images], ["a", "b", "a", *labels])
    with pytest.raises(error, match=text):
        load(path)


def test_bad_columns_and_names_get_a_hint(tmp_path):
    path = table(tmp_path / "t.parquet", [png(0), png(1)], [0.5, 1.5])
    with pytest.raises(DataError, match="class(.|\n)*0.5(.|\n)*row 0, column label"):
        load(path)
    with pytest.raises(DataError, match="did you mean `label`"):
        load(path, label="lable")
    with pytest.raises(NotFoundError, match="did you mean `digits`"):
        li.load(source="digitz")


def test_no_rows_and_damaged_pictures_are_named(tmp_path):
    with pytest.raises(DataError, match=r"must have rows"):
        load(table(tmp_path / "t.parquet", [], pa.array([], pa.int64())))
    folder(tmp_path / "a")
    (tmp_path / "a/cat/cut.png").write_bytes(png(1, size=(40, 40))[:200])
    rows = load(tmp_path / "a", validation=0.0, test=0.0).rows("train")
    with pytest.raises(DataError, match=r"damaged(.|\n)*cut\.png"):
        rows.at_size(6)


def test_num_train_limits_train_only(tmp_path):
    data, whole = load("digits", num_train=100), load("digits")
    assert data.num_rows("train") == 100 and data.num_rows("test") == whole.num_rows("test")
    assert np.bincount(data.rows("train").targets).min() >= 9


@needs_data
def test_cifar_reads_with_its_class_names():
    data = li.load(source="cifar10_jpeg75/test.parquet")
    rows = data.rows("test")
    assert data.labels[:2] == ["airplane", "automobile"] and rows.num_rows == 10_000
    assert rows.batch([0, 5]).shape == (2, 3, 32, 32)


@pytest.mark.slow
@needs_data
def test_mnist_reads_with_its_shapes():
    data = li.load(source="mnist")
    assert data.rows("train").images.shape[1:] == (1, 28, 28) and data.num_rows("test") == 10_000


def test_a_stored_dataset_is_found_where_its_folder_lies_now(tmp_path):
    from lichen.core.session import opened

    folder = tmp_path / "pictures"
    for number in range(40):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
    with opened(tmp_path / ".lichen") as session:
        first = li.load(str(folder))
        folder.rename(tmp_path / "moved")
        again = li.load(str(tmp_path / "moved"))
        assert session.counts == {"computed": 1, "found": 1}
    assert again == first and again.rows("train").num_rows == first.num_rows("train")
