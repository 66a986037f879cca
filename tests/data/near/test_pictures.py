"""Copies encoded anew, lit, moved, cropped or mirrored are found; pictures merely alike are not."""

import io

import numpy as np
import pytest
from PIL import Image

import lichen as li
from lichen.data import loading
from lichen.data.loading import Plan
from lichen.data.near import pictures as near
from lichen.data.near import thumbnails


def photos(num_rows, seed=0, side=48):
    """uint8 (N, 3, side, side): smooth random colours with some sharp shapes, all different."""
    draws = np.random.default_rng(seed)
    coarse = draws.integers(0, 255, (num_rows, 3, 6, 6)).astype(np.float32)
    up = _enlarger(6, side)
    pixels = up @ coarse @ up.T
    for row in range(num_rows):
        for _ in range(4):
            top, left, height, width = draws.integers(4, side // 2, 4)
            pixels[row, :, top : top + height, left : left + width] = draws.integers(0, 255, (3, 1, 1))
    return pixels.astype(np.uint8)


def _enlarger(few, many):
    places = np.linspace(0, few - 1, many)
    return np.clip(1 - np.abs(places[:, None] - np.arange(few)), 0, None).astype(np.float32)


def as_jpeg(pixels, quality=60):
    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def cropped(pixels, share=1 / 32):
    side = pixels.shape[1]
    edge = round(side * share)
    whole = Image.fromarray(pixels.transpose(1, 2, 0)).crop((edge, edge, side - edge, side - edge))
    return np.asarray(whole.resize((side, side), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


COPIES = {
    "encoded anew": as_jpeg,
    "darker": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "brighter": lambda pixels: (pixels * 0.7 + 60).astype(np.uint8),
    "one pixel to the right": lambda pixels: np.pad(pixels, ((0, 0), (0, 0), (1, 0)), "edge")[:, :, :-1],
    "two pixels down": lambda pixels: np.pad(pixels, ((0, 0), (2, 0), (0, 0)), "edge")[:, :-2],
    "mirrored": lambda pixels: pixels[:, :, ::-1],
    "cropped": cropped,
    "grey": lambda pixels: np.repeat(pixels.mean(0, keepdims=True), 3, 0).astype(np.uint8),
    "smaller": lambda pixels: as_smaller(pixels),
}


def as_smaller(pixels):
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    side = pixels.shape[1]
    small = image.resize((side * 2 // 3, side * 2 // 3), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((side, side), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("is_judge_larger", [False, True])
def test_a_planted_copy_is_found_and_nothing_else(kind, is_judge_larger):
    train, test = photos(600), photos(40, seed=1)
    copies = np.stack([COPIES[kind](row) for row in test[:20]])
    left, right = thumbnails.thumbnails(test), thumbnails.thumbnails(np.concatenate([train, copies]))
    found = near.pairs(right, left) if is_judge_larger else near.pairs(left, right)
    pairs = set(
        zip(*((found.right, found.left) if is_judge_larger else (found.left, found.right)), strict=True)
    )
    planted = {(row, 600 + row) for row in range(20)}
    assert len(pairs & planted) >= (16 if kind == "cropped" else 19)  # of 20
    assert pairs <= planted


def test_a_leak_of_every_row_is_found_also_when_the_set_is_small():
    test = photos(40)
    found = near.pairs(
        thumbnails.thumbnails(test), thumbnails.thumbnails(np.stack([as_jpeg(row) for row in test]))
    )
    assert np.array_equal(found.left, found.right) and found.left.size >= 38


def test_rows_of_one_class_that_merely_look_alike_are_not_copies():
    data = li.load("digits")
    found = near.pairs(*(thumbnails.thumbnails(data.rows(split).images) for split in ("test", "train")))
    assert len(np.unique(found.left)) <= 5  # of 358


def test_plain_pictures_are_no_copies_of_each_other():
    plain = np.repeat(np.arange(50, dtype=np.uint8), 32 * 32).reshape(50, 32, 32)
    assert near.pairs(plain[:20], plain).left.size == 0


def test_thumbnails_are_means_of_what_they_shrink_and_keep_what_has_their_size():
    exact = np.random.default_rng(0).integers(
        0, 255, (3, 1, thumbnails.SIDE, thumbnails.SIDE), dtype=np.uint8
    )
    assert np.array_equal(thumbnails.thumbnails(exact), exact[:, 0])
    wide = np.broadcast_to(np.linspace(0, 255, 320), (1, 1, 64, 320)).astype(np.uint8)
    shrunk = thumbnails.thumbnails(wide)[0].astype(int)
    assert np.abs(shrunk - wide[0, 0].reshape(64, 32, 10).mean(2)[:32]).max() <= 2


def written(folder, parts):
    for split, pictures in parts.items():
        for row, (pixels, kind) in enumerate(pictures):
            target = folder / split / "ab"[row % 2] / f"{row:03d}.{kind}"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(target)
    return folder


def notes_of(folder, **options):
    told = []
    loading.load(str(folder), Plan(**options), note=told.append)
    return told


def test_loading_notes_counts_and_one_example_and_drops_nothing(tmp_path):
    pixels = photos(60)
    parts = {
        "train": [(row, "png") for row in pixels[:40]] + [(row, "jpg") for row in pixels[50:53]],
        "validation": [(row, "png") for row in pixels[40:50]],
        "test": [(row, "png") for row in pixels[50:]],
    }
    folder = written(tmp_path / "d", parts)
    (note,) = notes_of(folder)
    assert note.startswith("3 test rows have near duplicates in train (kept), such as ")
    assert "test/" in note and ".jpg" in note
    assert li.load(folder).num_rows("train") == 43
    parts["train"] = parts["train"][:40]
    assert notes_of(written(tmp_path / "clean", parts)) == []


def test_equal_rows_that_are_kept_are_not_counted_as_near(tmp_path):
    pixels = photos(20)
    parts = {"train": [(row, "png") for row in pixels], "test": [(row, "png") for row in pixels[:4]]}
    (note,) = notes_of(written(tmp_path / "d", parts), duplicates="keep", validation=0)
    assert note == "kept 4 train rows that also stand in a split that judges them"


def test_what_does_not_stay_in_memory_is_sampled_and_that_is_said(tmp_path, monkeypatch):
    pixels = photos(40)
    parts = {"train": [(row, "png") for row in pixels[:30]], "test": [(row, "png") for row in pixels[30:]]}
    monkeypatch.setattr(near, "MOST_ROWS", 20)
    monkeypatch.setattr("lichen.data.stored.RESIDENT_BYTES", 1000)
    (note,) = notes_of(written(tmp_path / "d", parts), validation=0)
    assert note == "near duplicates were looked for among 20 of 30 train rows"


def test_a_damaged_picture_does_not_stop_the_load_and_is_said(tmp_path):
    pixels = photos(12)
    folder = written(tmp_path / "d", {"train": [(row, "png") for row in pixels[:8]],
                                      "test": [(row, "png") for row in pixels[8:]]})  # fmt: skip
    path = folder / "train" / "a" / "000.png"
    path.write_bytes(path.read_bytes()[:-200])
    (note,) = notes_of(folder, validation=0)
    assert note.startswith("near duplicates were not looked for: ") and "damaged" in note
