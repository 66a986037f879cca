"""test_record: what is recorded is what the policy does, and whatever learns or ships policies reads it."""

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.core.errors import DataError, UsageError
from lichen.engine import answer
from lichen.engine.decision import actions
from lichen.engine.modules import macs


@pytest.fixture(scope="module", autouse=True)
def here():
    with session.using(session.Session()):
        yield


@pytest.fixture(scope="module")
def pole():
    return li.environment("CartPole-v1")


@pytest.fixture(scope="module")
def policy(pole):
    return li.decide.ppo(pole, num_steps=1024)


@pytest.fixture(scope="module")
def recorded(policy, pole):
    return li.decide.record(policy, pole, num_steps=1000, explore=0.3)


def test_every_row_is_what_the_policy_does_there_also_where_it_was_led_by_chance(policy, recorded):
    for split in recorded.splits:
        rows = recorded.rows(split)
        chosen = actions.greedy(answer.logits(policy, rows.whole()), policy.assets)
        np.testing.assert_array_equal(chosen, rows.targets)
    assert li.evaluate(policy, recorded).value == 1.0


def test_chance_leads_further_and_splits_share_no_row(policy, pole, recorded):
    still = li.decide.record(policy, pole, num_steps=1000)
    spread = [rows.rows("train").whole().std(0) for rows in (still, recorded)]
    assert (spread[1] > spread[0]).any()
    ids = [set(recorded.rows(split).ids.tolist()) for split in ("train", "validation", "test")]
    assert not (ids[0] & ids[1] or ids[0] & ids[2] or ids[1] & ids[2])


def test_an_exported_policy_takes_the_same_actions(policy, recorded, pole):
    program = li.deploy.export(policy, recorded, runtime="onnxruntime")
    rows = recorded.rows("test").whole()
    assert [row["action"] for row in program.predict(rows)] == [row["action"] for row in policy.predict(rows)]
    scores = [li.evaluate(value, pole, episodes=20) for value in (policy, program)]
    np.testing.assert_array_equal(*(score.answers()["outcome"].numpy() for score in scores))


def test_a_policy_is_made_smaller_on_what_it_did_and_still_acts(pole):
    policy = li.decide.pqn(pole, num_steps=1024, net_options={"norm": "layer"}, judge_episodes=1)
    seen = li.decide.record(policy, pole, num_steps=1000, explore=0.3)
    pruned = li.compress.prune(policy, seen, speedup=1.5, epochs=1, precision="float32")
    student = li.compress.distil(
        policy, seen, net="mlp", net_options={"width": 16}, epochs=4, precision="float32"
    )
    assert macs.count(pruned.torch(), [4]) * 1.5 <= macs.count(policy.torch(), [4])
    made = [
        pruned,
        student,
        li.adapt.calibrate(policy, seen),
        li.compress.quantize(policy, seen, max_drop=0.5),
    ]
    for value in made:
        assert li.evaluate(value, seen).value > 0.5 and li.evaluate(value, pole, episodes=2).value > 0


def test_a_clone_agrees_with_whom_it_watched(recorded, policy, pole):
    copy = li.decide.clone(recorded, net_options={"width": 32}, epochs=15)
    assert li.evaluate(copy, recorded).value > 0.9
    assert copy.task == "control" and copy.assets["labels"] == policy.assets["labels"]
    before = li.decide.clone(recorded, net_options={"width": 32}, epochs=1, rate=1e-6)
    assert li.evaluate(copy, pole, episodes=20).value > li.evaluate(before, pole, episodes=20).value


def test_continuous_actions_are_recorded_as_shares_of_their_range_and_cloned():
    push = li.environment("worlds:Push")
    model = li.decide.ppo(push, num_steps=256)
    rows = li.decide.record(model, push, num_steps=400, explore=0.5).rows("train")
    assert rows.targets.shape == (len(rows), 1) and np.abs(rows.targets).max() <= 1
    outputs = answer.logits(model, rows.whole())
    np.testing.assert_allclose(rows.targets, np.clip(outputs, -1, 1), atol=1e-5)
    data = li.decide.record(model, push, num_steps=400, explore=0.5)
    copy = li.decide.clone(data, net_options={"width": 16}, epochs=20)
    assert li.evaluate(copy, data)["agreement"] > 0.95


def test_a_policy_is_refused_where_it_does_not_fit(policy):
    with pytest.raises(UsageError, match="observation shape"):
        li.decide.record(policy, li.environment("worlds:Bandit"))
    with pytest.raises(UsageError, match="does not fit"):
        li.evaluate(policy, li.environment("Acrobot-v1"))


def test_what_is_no_observation_is_named(policy):
    for bad, words in (([1.0, 2.0], "shape"), ([1.0, 2.0, float("nan"), 0.0], "finite"), (["a"], "numbers")):
        with pytest.raises(DataError, match=words):
            policy.predict([bad])
    (reply,) = policy.predict([0.0, 0.1, 0.0, -0.1])
    assert reply["label"] == str(reply["action"]) and len(reply["outputs"]) == 2
