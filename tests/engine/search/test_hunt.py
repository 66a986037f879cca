"""test_hunt: a recorded training goes through with any operations, whatever its own policy was."""

import numpy as np
import pytest

import lichen as li
from lichen.core.session import opened
from lichen.engine.search.hunt import Hunt

FAVOUR = {"rotate": 3.0}


@pytest.fixture(scope="module")
def hunt(tmp_path_factory):
    """A training whose policy favours rotations among what it draws."""
    targets = np.arange(60) % 2
    images = np.random.default_rng(3).integers(0, 160, (60, 1, 8, 8)) + 60 * targets[:, None, None, None]
    splits = ["train"] * 25 + ["validation"] * 30 + ["test"] * 5
    with opened(tmp_path_factory.mktemp("hunt") / ".lichen") as here:
        rows = li.arrays(images.astype("uint8"), targets, labels=["dark", "light"], splits=splits)
        data = li.augment.policy(rows, ops=["trivialaugment"], favour=FAVOUR)
        model = li.pretrain.train(data, net="mlp", net_options={"width": 8}, epochs=1, precision="float32")
        yield Hunt(model.made, data, here)


@pytest.mark.parametrize(("ops", "favour"), [
    ([{"trivialaugment": 0.5}], FAVOUR),
    ([{"flip": 0.5}, {"randaugment": 0.3}], FAVOUR),
    ([{"flip": 0.5}], None),
    ([], None),
    ([{"trivialaugment": 0.0}], None),
])  # fmt: skip
def test_what_the_policy_favours_stays_only_where_an_operation_draws_it(hunt, ops, favour):
    trained = hunt.trained(ops, 1, 0)
    policy = next(call for call in trained.made.call.history() if call.step == "augment.policy")
    assert policy.options["favour"] == favour and policy.options["ops"] == ops
