"""test_values: what evaluate, predict and export say is what the value answers."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lichen as li
from lichen.core.store import Store


def value_of(home, name="small"):
    return Store(home / ".lichen").resolve(name)


def picture(home, row=0):
    """A validation picture of digits as a file."""
    pixels = li.load("digits").rows("validation").images[row, 0]
    path = home / f"digit{row}.png"
    Image.fromarray(pixels).save(path)
    return path


def test_evaluate_finds_what_the_run_measured(lichen, home):
    said = lichen("evaluate", "small", "--json")
    assert said.code == 0
    assert set(said.data) == {
        "value",
        "data",
        "split",
        "num_rows",
        "headline",
        "metrics",
        "times_opened",
        "found",
    }
    assert said.data["found"] and said.data["split"] == "validation" and said.data["times_opened"] == 1
    assert f"{said.data['metrics']['accuracy']['value']:.4f}" in lichen("evaluate", "small").out


def test_openings_of_test_are_counted_and_said(lichen, home):
    again = lichen("evaluate", "small", "digits", "--split", "test", "--json").data
    assert again["found"] and again["times_opened"] == 1  # the same rows were asked about by the run
    few = li.load("digits").rows("test").images[:60], [str(target % 10) for target in range(60)]
    other = Store(home / ".lichen").keep(li.arrays(*few, splits=["test"] * 30 + ["train"] * 30))
    assert (
        lichen("evaluate", "small", other.digest[:12], "--split", "test", "--json").data["times_opened"] == 2
    )
    assert "test opened 2 time(s)" in lichen("evaluate", "small").out


def test_evaluate_takes_other_data_and_a_value_file(lichen, home):
    path = value_of(home).save(home / "small.lichen")
    own = lichen("evaluate", "small", "--json").data
    assert lichen("evaluate", path, "--json").data["metrics"] == own["metrics"]
    other = lichen("evaluate", path, "digits", "--split", "train", "--json").data
    assert other["data"] != own["data"] and other["num_rows"] > 1000


def test_a_value_file_needs_no_store(lichen, home, tmp_path, monkeypatch):
    path = value_of(home).save(tmp_path / "small.lichen")
    own = lichen("evaluate", "small", "--json").data
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    said = lichen("evaluate", path, "--json").data
    assert said["metrics"] == own["metrics"] and said["times_opened"] is None


def test_data_are_not_evaluated(lichen, home):
    said = lichen("evaluate", Store(home / ".lichen").resolve("small").made.call.inputs["data"].digest[:10])
    assert said.code == 2 and "takes a Model or a Program" in said.err


def test_predict_answers_as_the_value_does(lichen, home):
    path = picture(home)
    said = lichen("predict", "small", path, "--json").data
    (reply,) = value_of(home).predict(path)
    assert said == [{"input": str(path), **reply}]
    assert reply["label"] in lichen("predict", "small", path).out


def test_predict_says_what_evaluate_counted(lichen, home):
    scores = next(
        score
        for score in Store(home / ".lichen").readers(value_of(home).digest)
        if "validation" in score.read
    )
    answers = Store(home / ".lichen").value(scores.outputs[""]).answers()["answer"].numpy()
    rows = [lichen("predict", "small", picture(home, row), "--json").data[0]["label"] for row in range(5)]
    assert rows == [str(answer) for answer in answers[:5]]


def test_predict_reads_folders_and_standard_input(home):
    picture(home), picture(home, 1)
    (home / "note.txt").write_text("no picture")
    command = [sys.executable, "-m", "lichen", "predict", "small", ".", "-", "--json"]
    with picture(home).open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, check=True, cwd=home)
    first, _, last = json.loads(done.stdout)
    assert last["input"] == "-" and last["top"] == first["top"]


def test_one_bad_picture_spoils_no_other(lichen, home):
    (home / "bad.png").write_text("no picture")
    said = lichen("predict", "small", picture(home), "bad.png", "--json")
    assert said.code == 2 and "label" in said.data[0] and said.data[1]["error"] == "the image cannot be read"
    assert "bad.png" in said.err


def test_all_bad_pictures_are_all_named(lichen, home):
    for name in ("one.png", "two.png"):
        (home / name).write_text("no picture")
    said = lichen("predict", "small", "one.png", "two.png")
    assert said.code == 2 and "one.png" in said.err and "two.png" in said.err


def snippet(readme):
    return readme[readme.index("import ") :]


@pytest.fixture(scope="module")
def shipped(lived, tmp_path_factory):
    """The life's Model as a Program, exported once: writing a graph takes seconds."""
    from lichen.cli.main import main

    folder = tmp_path_factory.mktemp("shipped")
    shutil.copytree(lived / ".lichen", folder / ".lichen")
    for format in ("onnx", "openvino"):
        assert main(["export", "small", "--out", str(folder / format), "--format", format,
                     "--store", str(folder / ".lichen")]) == 0  # fmt: skip
    return folder


@pytest.mark.parametrize("format", ["onnx", "openvino", "lichen", "safetensors"])
def test_what_is_exported_answers_with_its_own_runtime_alone(lichen, home, shipped, format):
    out = shipped / format
    if not out.exists():
        said = lichen("export", "small", "--out", out, "--format", format, "--json").data
        assert "labels.json" in said["files"] and "answers as the value" in said["checked"]
    shutil.copy(picture(home), out / "picture.png")
    code = snippet((out / "README.txt").read_text())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=out)
    assert done.stdout.strip() == value_of(home).predict(out / "picture.png")[0]["label"], done.stderr


def test_a_program_exports_in_its_own_format(lichen, home, shipped):
    store = Store(shipped / ".lichen")
    digest = store.records.row("SELECT digest FROM vals WHERE kind = 'program'")["digest"]
    said = lichen("export", digest[:12], "--out", home / "out", "--store", shipped / ".lichen", "--json").data
    assert said["digest"] == digest and said["format"] == store.value(digest).format
    refused = lichen(
        "export", digest[:12], "--out", home / "st", "--format", "safetensors", "--store", shipped / ".lichen"
    )
    assert refused.code == 2 and "this is a Program" in refused.err and not (home / "st").exists()


def test_a_defect_in_what_was_written_is_caught_and_nothing_stays(lichen, home, monkeypatch):
    from lichen.cli import shipping

    right = shipping.WRITERS["lichen"]
    monkeypatch.setitem(
        shipping.WRITERS,
        "lichen",
        lambda value, part: lambda images: right(value, part)(images) + np.float32(0.1),
    )
    said = lichen("export", "small", "--out", home / "out", "--format", "lichen")
    assert said.code == 1 and "must answer as the value" in said.err
    assert not (home / "out").exists() and not list(home.glob(".out*"))


def test_a_folder_with_files_is_left_alone(lichen, home):
    (home / "out").mkdir()
    (home / "out" / "mine.txt").write_text("mine")
    assert lichen("export", "small", "--out", "out", "--format", "lichen").code == 2
    assert lichen("export", "small", "--out", "out", "--format", "lichen", "--force").code == 0
    assert (home / "out" / "mine.txt").read_text() == "mine"
