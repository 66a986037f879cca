"""merge: one plain net that answers as base and adapter did, and a base for another adapter."""

import numpy as np
import pytest

import lichen as li
from lichen.core.array import Array
from lichen.core.errors import AdapterError
from lichen.core.model import Model


def base():
    draws = np.random.default_rng(0)
    shapes = {"body.1.weight": (4, 6), "body.1.bias": (4,), "head.weight": (2, 4)}
    weights = {name: Array.of(draws.normal(size=shape).astype("float32")) for name, shape in shapes.items()}
    return Model.build(net="mlp", options={}, weights=weights)


def adapted(model, method, scale):
    weights = {"body.1.scale": Array.of(np.array(scale, "float32"))}
    adapter = {"method": method, "rank": 1, "alpha": 1.0, "layers": ["body.1"]}
    return model.adapted(weights, adapter=adapter, options={}, assets={})


def test_ia3_scales_each_output_with_its_bias():
    start = base()
    merged = li.adapt.merge(adapted(start, "ia3", [1.0, 2.0, 0.0, -1.0])).weights()
    scale = np.array([1.0, 2.0, 0.0, -1.0], "float32")
    assert np.array_equal(
        merged["body.1.weight"].numpy(), start.weights()["body.1.weight"].numpy() * scale[:, None]
    )
    assert np.array_equal(merged["body.1.bias"].numpy(), start.weights()["body.1.bias"].numpy() * scale)
    assert merged["head.weight"].data == start.weights()["head.weight"].data


def test_merged_it_is_plain_and_takes_another_adapter():
    merged = li.adapt.merge(adapted(base(), "ia3", [1.0, 2.0, 3.0, 4.0]))
    assert not merged.is_adapted and merged.digest != base().digest
    again = adapted(merged, "ia3", [1.0, 0.5, 1.0, 0.25])
    assert again.face["base"] == merged.part_digest()
    twice = li.adapt.merge(again).weights()["body.1.bias"].numpy()
    assert np.allclose(twice, base().weights()["body.1.bias"].numpy() * [1, 1, 3, 1])


def test_without_an_adapter_it_stays_as_it_is():
    assert li.adapt.merge(base()) == base()


def test_an_adapter_without_its_base_says_which_it_needs():
    alone = adapted(base(), "ia3", [1.0] * 4).adapter()
    with pytest.raises(AdapterError, match=base().part_digest()[:10]):
        li.adapt.merge(alone)
