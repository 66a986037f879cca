"""test_adopt: a Llama in a folder becomes a model of the record that says what it said."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from languages import llama_folder

import lichen as li
from lichen.core.errors import DataError, NotFoundError, UsageError

STORIES = Path(os.environ.get("LICHEN_DATA", "/nowhere")) / "pretrained" / "stories260k"
needs_stories = pytest.mark.skipif(not STORIES.is_dir(), reason="needs LICHEN_DATA with stories260k")


@needs_stories
def test_stories260k_goes_on_with_its_story():
    model = li.pretrain.adopt("hf/pretrained/stories260k")
    (text,) = model.generate("Once upon a time", max_new_tokens=40, temperature=0)
    assert text.startswith(", there was a little girl named Lily. She loved to play outside")
    reply, odd = model.predict(
        ["Once upon a time, there was a little girl.", "Colourless ideas sleep madly."]
    )
    assert reply["perplexity"] < 4 < 20 < odd["perplexity"]


@needs_stories
@pytest.mark.slow
@torch.no_grad()
def test_stories260k_by_its_name_gives_the_logits_of_transformers():
    from transformers import LlamaForCausalLM

    ours = li.pretrain.adopt("hf/pretrained/stories260k").torch()
    theirs = LlamaForCausalLM.from_pretrained(STORIES).eval()
    x = torch.randint(3, 512, (2, 60), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(x), theirs(x).logits, atol=1e-4, rtol=1e-4)


def test_a_folder_is_adopted_by_path_and_by_name_alike(tmp_path):
    llama_folder(tmp_path / "own" / "small")
    model = li.pretrain.adopt("own/small")
    assert li.pretrain.adopt("hf/own/small").digest == model.digest
    assert model.options["end"] == 1 and model.assets["max_tokens"] == 32
    assert model.generate("moss", max_new_tokens=4, temperature=0) == model.generate(
        ["moss"], max_new_tokens=4, temperature=0
    )


def test_it_is_scored_on_texts_and_kept_in_a_file(tmp_path):
    model = li.pretrain.adopt(str(llama_folder(tmp_path / "small")))
    data = li.texts([f"moss on bark {row}" for row in range(40)])
    scores = li.evaluate(model, data)
    assert scores.value > 0
    model.save(tmp_path / "m.lichen")
    again = li.open(tmp_path / "m.lichen")
    assert again.digest == model.digest
    np.testing.assert_allclose(again.predict("moss")[0]["loss"], model.predict("moss")[0]["loss"])


def test_what_cannot_be_adopted_is_named(tmp_path):
    with pytest.raises(UsageError, match="hidden_act=silu"):
        li.pretrain.adopt(str(llama_folder(tmp_path / "odd", hidden_act="gelu")), net="gpt")
    folder = llama_folder(tmp_path / "bare")
    (folder / "config.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match="must be a mapping"):
        li.pretrain.adopt(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"config\.json"):
        li.pretrain.adopt(str(folder))
    with pytest.raises(NotFoundError, match="no model lies"):
        li.pretrain.adopt("hf/no/such/folder")
