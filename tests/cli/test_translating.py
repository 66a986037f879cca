"""Translators answer `predict` line by line, leave as weights alone, and say what they do not do."""

import io
import sys
from types import SimpleNamespace

import pytest
from translations import drawn


@pytest.fixture(scope="module")
def model():
    return drawn()


@pytest.fixture
def file(model, tmp_path):
    model.save(tmp_path / "pairs.lichen")
    return tmp_path / "pairs.lichen"


def test_texts_and_piped_lines_are_translated(lichen, model, file, monkeypatch):
    assert lichen("predict", file, "wet moss", "--json").data == [
        {"input": "wet moss", "translation": model.translate("wet moss")[0]}
    ]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"old stone\n\nrain\n")))
    found = lichen("predict", file, "-", "--json").data
    assert [row["translation"] for row in found] == model.translate(["old stone", "rain"])


def test_a_text_that_is_not_read_to_its_end_is_named(lichen, file):
    said = lichen("predict", file, "wet moss", "~" * 60, "~" * 70)
    assert said.code == 0 and said.err.count("\n") == 1
    assert said.err.startswith("warning: what a text says after 21 tokens is not read")
    assert not lichen("predict", file, "wet moss").err


def test_it_leaves_as_weights_and_as_no_graph(lichen, file, tmp_path):
    said = lichen("export", file, "--out", tmp_path / "out", "--format", "safetensors")
    assert said.code == 0 and "bit by bit" in said.out
    assert "N pairs, halves filled up with 0" in (tmp_path / "out" / "README.txt").read_text()
    for form, refusal in (
        ("onnx", "that translate texts are not written as onnx yet"),
        ("llama", "of a gpt, not"),
    ):
        said = lichen("export", file, "--out", tmp_path / form, "--format", form)
        assert said.code == 2 and refusal in said.err


def test_it_does_not_chat_and_says_what_it_does(lichen, file):
    said = lichen("chat", file, "--prompt", "moss")
    assert said.code == 2 and "this one is for translation" in said.err and "lichen predict" in said.err
