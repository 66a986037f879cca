"""Adapters of one base are switched call by call; each answers as its merged model, the base as itself."""

import pytest
import torch
from languages import drawn

import lichen as li
from lichen.core.errors import AdapterError, NotFoundError, UsageError
from lichen.engine.training import adapters

pytest.importorskip("peft")
ASKED = ["say moss 3", "the old stone"]


@pytest.fixture(scope="module")
def base():
    return drawn(max_tokens=64, depth=1)


@pytest.fixture(scope="module")
def adapted(base):
    data = li.conversations([{"prompt": f"say {row}", "answer": "moss " * 2} for row in range(30)])
    return {
        method: li.adapt.instruct(base, data, method=method, epochs=1, rank=2, rate=0.02, precision="float32")
        for method in ("lora", "ia3", "prompt")
    }


def test_each_call_says_which_one_answers(base, adapted):
    both = li.Switch(adapted)
    before = {name: tensor.clone() for name, tensor in both.module.state_dict().items()}
    for name in ("lora", "prompt", "ia3", None, "prompt", "lora"):
        model = adapters.base_of(adapted["lora"]) if name is None else adapted[name]
        assert both.generate(ASKED, adapter=name, temperature=0, max_new_tokens=9) == model.generate(
            ASKED, temperature=0, max_new_tokens=9
        )
        assert both.predict(ASKED, adapter=name) == model.predict(ASKED)
    with both.wearing(None) as (module, model):
        assert model.part_digest() == base.part_digest()
        assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_adapters_alone_go_onto_the_base_of_another(adapted):
    both = li.Switch({"lora": adapted["lora"], "alone": adapted["ia3"].adapter()})
    assert both.predict(ASKED, adapter="alone") == adapted["ia3"].predict(ASKED)
    with pytest.raises(AdapterError, match="stand on its base"):
        li.Switch({"alone": adapted["ia3"].adapter()})


def test_what_cannot_be_switched_is_named(base, adapted):
    other = drawn(max_tokens=64, depth=1, seed=1)
    data = li.conversations([{"prompt": f"say {row}", "answer": "moss"} for row in range(9)])
    strange = li.adapt.instruct(other, data, epochs=0)
    with pytest.raises(
        AdapterError, match=f"`odd` has {other.part_digest()[:10]}, not {base.part_digest()[:10]}"
    ):
        li.Switch({"lora": adapted["lora"], "odd": strange})
    with pytest.raises(AdapterError, match="`base` has no adapter"):
        li.Switch({"lora": adapted["lora"], "base": base})
    with pytest.raises(NotFoundError, match="no adapter `lara`"):
        li.Switch(adapted).generate("x", adapter="lara")


def test_an_adapter_with_a_head_of_its_own_is_no_other_adapter_of_the_net():
    import numpy as np

    images = np.random.default_rng(0).integers(0, 255, (60, 3, 8, 8), dtype=np.uint8)
    two, three = (li.arrays(images, np.arange(60) % count) for count in (2, 3))
    start = li.pretrain.load(two, net="mlp", weights=None)
    made = {str(place): li.adapt.adapter(start, data, epochs=0, head_epochs=0, rank=1)
            for place, data in enumerate((two, three))}  # fmt: skip
    assert li.Switch({"0": made["0"]}).predict(images[:2], adapter="0") == made["0"].predict(images[:2])
    with pytest.raises(UsageError, match="a head of its own"):
        li.Switch(made)
