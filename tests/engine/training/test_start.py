"""test_start: outputs that are of no labels go on with the head that they have, and get no labels."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.session import Session, using
from lichen.data.observations import observations
from lichen.engine.decision import episodes
from lichen.engine.training import start

STEPS = {
    "adapt.finetune": {"epochs": 1, "head_epochs": 0, "freeze": "none", "rate": 1e-9},
    "adapt.adapter": {"epochs": 0, "head_epochs": 0},
}


@pytest.fixture(scope="module")
def told():
    """Texts of two topics, and a net that says where they lie."""
    texts = [f"{('moss', 'rain')[row % 2]} number {row}" for row in range(120)]
    with using(Session(store=None)):
        data = li.texts(texts, [row % 2 for row in range(120)], ["moss", "rain"])
        teller = li.prepare.bpe(data, size=300)
        return data, li.pretrain.train(
            data, teller, net="bag", net_options={"width": 8, "num_pairs": 0}, task="sentence_embedding",
            epochs=1, optimizer="adamw", precision="float32",
        )  # fmt: skip


@pytest.fixture(scope="module")
def policy():
    seen = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    with using(Session(store=None)):
        data = observations(seen, np.clip(seen[:, :1] / 2, -1, 1), low=-1.0, high=1.0)
        return data, li.decide.clone(data, epochs=1)


@pytest.mark.parametrize("step", STEPS)
def test_an_encoder_keeps_what_its_vectors_mean(told, step):
    data, model = told
    room, name = step.split(".")
    with using(Session(store=None)):
        tuned = getattr(getattr(li, room), name)(model, data, precision="float32", **STEPS[step])
    assert "labels" not in tuned.assets
    before, after = (one.torch().state_dict() for one in (model, tuned))
    assert all(torch.allclose(after[name], tensor, atol=1e-6) for name, tensor in before.items())


def test_the_head_of_an_encoder_may_be_kept_or_new(told):
    data, model = told
    kept, new = (start.of(model, data, 128, head=head, seed=0) for head in ("keep", "new"))
    assert not kept.is_new and new.is_new and "labels" not in new.assets


def test_a_tuned_policy_still_fits_its_environment(policy):
    data, model = policy
    with using(Session(store=None)):
        tuned = li.adapt.finetune(model, data, epochs=1, precision="float32")
    box = {"low": [-1.0], "high": [1.0]}
    here = SimpleNamespace(address="worlds:Box", observation={"shape": [3]}, num_actions=None, action=box)
    episodes.require_fit(tuned, here)
    assert tuned.assets == model.assets


def test_a_net_of_classes_that_knows_no_labels_yet_gets_those_of_the_data():
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    data = li.arrays(images, np.arange(60) % 2)
    loaded = li.pretrain.load(data, net="mlp", weights=None)
    assets = {name: thing for name, thing in loaded.assets.items() if name not in ("labels", "is_head_new")}
    began = start.of(loaded.with_weights(loaded.weights(), assets=assets), data, 2, head="auto", seed=0)
    assert began.is_new and began.assets["labels"] == ["0", "1"]
