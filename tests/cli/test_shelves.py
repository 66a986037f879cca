"""test_shelves: what there is to use, and what a source holds."""

import shutil

import pytest
from PIL import Image


def test_steps_lists_all_and_shows_one(lichen):
    assert "pretrain.train" in lichen("steps").out
    one = lichen("steps", "pretrain.train", "--json").data
    assert one["options"]["epochs"] == {"default": 10, "takes": "a whole number >= 1"}
    assert {entry["shelf"] for entry in lichen("steps", "--all", "--json").data} == {
        "steps",
        "nets",
        "tasks",
        "studies",
    }
    assert lichen("steps", "pretrain.trian").code == 3


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_verb(lichen, shell):
    script = lichen("completion", shell).out
    assert "evaluate" in script and "doctor" in script and "pretrain.train" in script


def test_data_counts_rows_labels_and_sizes(lichen, home):
    data = lichen("data", "digits", "--json").data
    assert data["reader"] == "digits" and data["splits"] == {"train": 1319, "validation": 120, "test": 358}
    assert sum(data["labels"]["3"].values()) == 183 and data["sizes"] == [[8, 8]]
    out = lichen("data", "digits").out
    assert "validation 120 carved" in out and "grey 8x8" in out


def test_data_finds_pictures_that_stand_twice(lichen, home, photos):
    for split in ("train", "test"):
        shutil.copytree(photos, home / "set" / split)
    for path in (home / "set" / "test").rglob("*.png"):
        if path.stem != "0":
            path.unlink()
    shutil.copy(photos / "cat" / "5.png", home / "set" / "train" / "dog" / "again.png")
    said = lichen("data", "set", "--json")
    assert said.code == 0, said.out
    data = said.data
    assert (
        data["twice"]["train"] == 2 and data["refused"] and data["within"] == 1 and data["disagreeing"] == 1
    )
    out = lichen("data", "set").out
    assert "refused   every validation row also stands in another split" in out
    assert "2 train rows stand in a split that judges them" in out and "1 pictures have two labels" in out


def test_data_says_the_range_of_sizes(lichen, home, photos):
    Image.new("RGB", (40, 20)).save(photos / "cat" / "wide.png")
    assert "from 8x8 to 20x40" in lichen("data", photos).out


def test_a_preview_is_drawn_and_varied(lichen, home):
    assert lichen("data", "digits", "--preview", "plain.png").code == 0
    assert lichen("data", "digits", "--preview", "varied.png", "--recipe", "small.yaml").code == 0
    with Image.open("plain.png") as plain, Image.open("varied.png") as varied:
        assert varied.width * varied.height > 3 * plain.width * plain.height
    assert lichen("data", "digits", "--preview", "page.html").code == 0
    assert (home / "page.html").read_text().count("<figure>") == 40


def test_a_preview_of_another_kind_is_refused(lichen, home):
    assert lichen("data", "digits", "--preview", "sheet.gif").code == 2
    assert lichen("data", "digits", "--recipe", "small.yaml").code == 2
