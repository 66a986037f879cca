"""What a sentence encoder's folder says is kept to, and what cannot be is refused."""

import json

import numpy as np
import pytest
from languages import PIECES, bert_folder

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.engine.inputs import feeds
from lichen.engine.language import encoderfolder


@pytest.fixture
def folder(tmp_path):
    return bert_folder(tmp_path / "small")


def write(folder, name, said):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(said))


MODES = {
    "mean": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
    "cls": {"pooling_mode_cls_token": True, "include_prompt": True, "word_embedding_dimension": 16},
    "last": {"pooling_mode_lasttoken": True},
    "max": {"pooling_mode": "max"},
}


@pytest.mark.parametrize("kind", MODES)
def test_the_way_of_pooling_is_recorded_and_used(folder, kind):
    write(folder, "1_Pooling/config.json", MODES[kind])
    model = li.pretrain.adopt(str(folder))
    assert model.options["pooling"] == kind
    (x,) = feeds.of(model.assets).decoded("moss on bark", "", model.assets)[None]
    net = model.torch()
    said = net.each(net.tokens.weight.new_tensor(x[None]).long())[0, : (x != 0).sum()].detach()
    wanted = {"mean": said.mean(0), "cls": said[0], "last": said[-1], "max": said.max(0).values}[kind]
    np.testing.assert_allclose(model.embed("moss on bark")[0], wanted / wanted.norm(), atol=1e-5)


@pytest.mark.parametrize("said", [
    {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
    {"pooling_mode_weightedmean_tokens": True},
    {"pooling_mode": ["cls", "mean"]},
])  # fmt: skip
def test_other_ways_of_pooling_are_refused(folder, said):
    write(folder, "1_Pooling/config.json", said)
    with pytest.raises(UsageError, match="must be one of mean, cls, last, max, not .*(cls|weighted)"):
        li.pretrain.adopt(str(folder))


def modules(*names):
    kinds = [("Transformer", ""), *((name, f"{row + 1}_{name}") for row, name in enumerate(names))]
    return [{"idx": row, "name": str(row), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for row, (kind, path) in enumerate(kinds)]  # fmt: skip


def test_length_one_is_what_vectors_have_anyway(folder):
    plain = li.pretrain.adopt(str(folder))
    write(folder, "modules.json", modules("Pooling", "Normalize"))
    assert li.pretrain.adopt(str(folder)).digest == plain.digest


def test_layers_after_pooling_are_refused(folder):
    (folder / "2_Dense").mkdir()
    with pytest.raises(UsageError, match="goes on with Dense"):
        li.pretrain.adopt(str(folder))
    write(folder, "modules.json", modules("Pooling", "Dense", "Normalize"))
    with pytest.raises(UsageError, match="Transformer, Pooling, Normalize are computed.* Dense"):
        li.pretrain.adopt(str(folder))
    write(folder, "modules.json", {"a": 1})
    with pytest.raises(DataError, match="a list of mappings"):
        li.pretrain.adopt(str(folder))


def test_as_many_tokens_are_read_as_the_folder_says(folder):
    (folder / "sentence_bert_config.json").unlink()
    assert encoderfolder.longest(folder, 12) == 12
    assert encoderfolder.longest(folder, None) == encoderfolder.LONG
    write(folder, "tokenizer_config.json", {"model_max_length": 1e30})
    assert encoderfolder.longest(folder, 12) == 12
    write(folder, "tokenizer_config.json", {"model_max_length": 7})
    assert encoderfolder.longest(folder, 12) == 7
    write(folder, "sentence_bert_config.json", {"max_seq_length": 9})
    assert encoderfolder.longest(folder, 12) == 9 and encoderfolder.longest(folder, 8) == 8


def test_small_letters_are_read_where_the_folder_says(folder):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": None}))
    model = li.pretrain.adopt(str(folder))
    assert not np.allclose(model.embed("MOSS"), model.embed("moss"))
    write(folder, "sentence_bert_config.json", {"max_seq_length": 9, "do_lower_case": True})
    model = li.pretrain.adopt(str(folder))
    assert np.array_equal(model.embed("MOSS"), model.embed("moss"))


@pytest.mark.parametrize("processor", [
    {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": True,
     "add_prefix_space": True},
    {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": True,
         "add_prefix_space": True},
    ]},
    None,
])  # fmt: skip
def test_any_post_processor_says_what_stands_around_a_text(folder, processor):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": processor}))
    model = li.pretrain.adopt(str(folder))
    wanted = [2, 4, 3] if processor else [4]
    assert feeds.of(model.assets).decoded("moss", "", model.assets).tolist()[: len(wanted)] == wanted
    assert model.assets["tokenizer"]["around"] == ([[2], [3]] if processor else [[], []])


def test_what_is_missing_or_too_large_is_named(folder):
    with pytest.raises(DataError, match="more tokens than the model"):
        encoderfolder.tokenizer_of(folder, len(PIECES) - 1, 0)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"beside its tokenizer\.json(.|\n)*AutoTokenizer"):
        li.pretrain.adopt(str(folder))
