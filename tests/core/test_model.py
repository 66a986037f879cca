"""test_model: an adapter is a part that knows its base by digest, and shares its blobs with it."""

import numpy as np
import pytest

import lichen as li
from lichen.core import capture
from lichen.core.array import Array
from lichen.core.errors import AdapterError, UnsafeInputError
from lichen.core.model import Model
from lichen.core.store import Store

LARGE, SMALL = (64, 64), (8,)


def array(shape, seed):
    return Array.of(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def base(seed=0, **more):
    weights = {
        "a.weight": array(LARGE, seed),
        "head.weight": array((3, 64), 1),
        "a.bias": array(LARGE[:1], 2),
    }
    assets = {"labels": ["x", "y", "z"]}
    return Model.build(net="mlp", options={"num_outputs": 3}, weights=weights, assets=assets, **more)


def adapted(model, seed=9):
    weights = {
        "a.lora_A": array((2, 64), seed),
        "a.lora_B": array((64, 2), seed + 1),
        "head.weight": array((2, 64), 4),
    }
    adapter = {"method": "lora", "rank": 2, "alpha": 4.0, "layers": ["a"]}
    return model.adapted(weights, adapter=adapter, options={"num_outputs": 2}, assets={"labels": ["p", "q"]})


def test_the_face_computes_with_base_and_adapter_together():
    model = adapted(base())
    found, plain, own = model.weights(), base().weights(), model.weights("adapter")
    delta = own["a.lora_B"].numpy() @ own["a.lora_A"].numpy()
    assert np.allclose(found["a.weight"].numpy(), plain["a.weight"].numpy() + 4.0 / 2 * delta, atol=1e-5)
    assert found["head.weight"].shape == (2, 64) and model.options["num_outputs"] == 2
    assert found.keys() == plain.keys() and found["a.bias"].data == plain["a.bias"].data
    assert model.weights("net")["a.weight"].data == plain["a.weight"].data


def test_taken_off_and_put_on_again_it_is_the_same_model():
    model = adapted(base())
    alone = model.adapter()
    assert alone.size_bytes < 0.2 * base().size_bytes
    assert alone.onto(base()).digest == model.digest and alone.onto(model).digest == model.digest
    assert alone.adapter().digest == alone.digest


def test_another_task_on_the_same_weights_is_the_same_base():
    told = Model(manifest={**base().manifest, "assets": {"labels": ["1", "2", "3"]}}, blobs=base().blobs)
    assert told.digest != base().digest
    assert adapted(base()).adapter().onto(told).digest == adapted(base()).digest


def test_another_base_is_refused_with_both_digests():
    alone, other = adapted(base()).adapter(), base(seed=5)
    with pytest.raises(AdapterError) as refusal:
        alone.onto(other)
    for one in (base(), other):
        assert one.part_digest()[:10] in refusal.value.message
    changed = {**base().weights(), "a.bias": array(LARGE[:1], 3)}
    with pytest.raises(AdapterError):
        alone.onto(base().with_weights(changed))


def test_alone_it_does_not_answer_and_says_whose_it_is():
    alone = adapted(base()).adapter()
    with pytest.raises(AdapterError, match=base().part_digest()[:10]):
        alone.weights()
    with pytest.raises(AdapterError, match="no adapter"):
        base().adapter()


def test_other_weights_make_it_a_plain_model():
    model = adapted(base())
    merged = model.with_weights(model.weights())
    assert not merged.is_adapted and list(merged.manifest["parts"]) == ["net"] == [merged.manifest["face"]]
    assert merged.options == model.options and merged.assets == model.assets


def test_a_store_keeps_the_base_once(tmp_path):
    store = Store(tmp_path / ".lichen")
    store.keep(base())
    before = store.added_bytes
    model = store.keep(adapted(base()))
    added = store.added_bytes - before
    assert 0 < added <= model.adapter().size_bytes + 64 < 0.2 * base().size_bytes
    assert store.value(model.digest).weights()["a.weight"].data == model.weights()["a.weight"].data


def test_in_a_file_it_travels_with_its_base_or_alone(tmp_path):
    model = adapted(base())
    whole, alone = (
        li.open(model.save(tmp_path / "a.lichen")),
        li.open(model.adapter().save(tmp_path / "b.lichen")),
    )
    assert whole == model and alone.onto(base()) == model
    assert (tmp_path / "b.lichen").stat().st_size < (tmp_path / "a.lichen").stat().st_size / 3


def test_an_adapter_that_names_no_base_is_no_value(tmp_path):
    model = adapted(base())
    face = {name: said for name, said in model.face.items() if name != "base"}
    manifest = {**model.manifest, "parts": {**model.manifest["parts"], "adapter": face}}
    with pytest.raises(UnsafeInputError, match="neither"):
        li.open(Model(manifest=manifest, blobs=model.blobs).save(tmp_path / "c.lichen"))


def test_how_adapters_are_merged_is_a_part_of_the_key_of_what_takes_one():
    assert "lichen.engine.training.merging" in capture.behind(adapted(base()))
    assert "lichen.engine.training.merging" not in capture.behind(base())
