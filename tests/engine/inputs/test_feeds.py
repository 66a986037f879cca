"""test_feeds: rows whose targets mean something else than a value's answers are refused, whoever asks."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.session import Session, using
from lichen.data import arrays, observations
from lichen.engine import evaluate
from lichen.engine.inputs import feeds

ORDERS = {"another order": list("cdab"), "also has e": list("abce")}


def pictures(labels):
    """The same rows, whatever their classes are called."""
    draws = np.random.Generator(np.random.Philox(2))
    images = draws.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    return arrays.arrays(images, [labels[row % len(labels)] for row in range(200)], labels=labels)


def acted(low, high):
    """The same actions under other bounds."""
    seen = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    return observations.observations(seen, np.clip(seen[:, :1] / 2, -1, 1), low=low, high=high)


@pytest.fixture(scope="module")
def model():
    with using(Session(store=None)):
        return li.pretrain.load(pictures(list("abcd")), net="mlp", weights=None)


@pytest.fixture(scope="module")
def policy():
    with using(Session(store=None)):
        return li.decide.clone(acted(-1.0, 1.0), epochs=1)


@pytest.mark.parametrize("seen", ORDERS)
@pytest.mark.parametrize(
    "step",
    ["adapt.calibrate", "compress.prune", "compress.sparsify", "compress.distil", "compress.quantize",
     "compress.qat", "deploy.export"],
)  # fmt: skip
def test_steps_refuse_data_of_other_labels(model, step, seen):
    room, name = step.split(".")
    options = {"net": "mlp"} if name == "distil" else {}
    with using(Session(store=None)), pytest.raises(UsageError, match=f"the model's 4; .*{seen}"):
        getattr(getattr(li, room), name)(model, pictures(ORDERS[seen]), **options)


def test_a_soup_refuses_data_of_other_labels(model):
    with using(Session(store=None)), pytest.raises(UsageError, match="in another order"):
        li.adapt.soup(pictures(list("cdab")), model, model)


def test_scores_refuse_data_of_other_labels(model):
    for seen, labels in ORDERS.items():
        with pytest.raises(UsageError, match=f"the data's labels must be the model's 4; .*{seen}"):
            evaluate.score(model, pictures(labels), "validation")


@pytest.mark.parametrize("bounds", [(-4.0, 1.0), (-1.0, 4.0)])
def test_actions_of_other_bounds_are_refused(policy, bounds):
    """A share of another range is another action: learnt from, it would come out four times too small."""
    for use in (lambda data: evaluate.score(policy, data, "validation"),
                lambda data: li.adapt.finetune(policy, data, epochs=1)):  # fmt: skip
        with using(Session(store=None)), pytest.raises(UsageError, match="must have the model's bounds"):
            use(acted(*bounds))


def test_actions_of_the_same_bounds_are_taken(policy):
    assert feeds.rows_of(acted(-1.0, 1.0), "train", policy.assets).num_rows > 100


def test_discrete_and_continuous_actions_are_not_mixed(policy):
    seen = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    discrete = observations.observations(seen, np.arange(200) % 2)
    with pytest.raises(UsageError, match="must have the model's bounds"):
        feeds.rows_of(discrete, "train", policy.assets)
